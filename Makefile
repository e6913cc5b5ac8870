# make setup | lint | test | soak | docs | dist | bench-data | demo | ablation-fast
# Needs Python 3.11 or newer with venv. Everything is installed into .venv; nothing else changes.

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
LORETTA := $(BIN)/loretta
PIP := $(BIN)/python -m pip
STAMP := .venv/.setup
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
SOURCES := loretta_framework $(filter-out %.egg-info,$(wildcard plugins/*/src/loretta_plugin_*))
TESTS := tests $(wildcard plugins/*/tests)
ARMS := svl-digits svl-digits-causal svl-digits-commutative svl-digits-oracle svl-digits-broken-link

# Packages whose compiled parts fit only a torch with CUDA: tests import them in processes of their
# own, with this folder on PYTHONPATH. Inside .venv they would break what imports them unguarded.
export LORETTA_EXTRAS ?= $(CURDIR)/.extras
EXTRAS := torchvision torchaudio timm

.DEFAULT_GOAL := help
.PHONY: bench bench-startup bench-train bench-decode bench-rollout bench-mamba bench-packing
.PHONY: bench-backbones bench-gpu-dry bench-gpu-carry
.PHONY: help setup lint test soak docs dist bench-data demo ablation-fast

help:
	@echo "make setup          install everything into .venv (instant when nothing changed)"
	@echo "make lint           style, types and import rules"
	@echo "make test           setup, lint, and all tests but the long ones"
	@echo "make soak           the long tests and the data benchmark; results under benchmarks/results"
	@echo "make docs           the manual, under .docs/"
	@echo "make dist           wheels and source distributions of the framework and its plugins, under dist/"
	@echo "make bench-data     reading beside webdataset, megatron-energon and mosaicml-streaming"
	@echo "make bench-startup  how long the first answer of a command takes, with 30 plugins installed"
	@echo "make bench          all benchmarks on this machine, then the tables of docs/benchmarks.md; single ones:"
	@echo "                    bench-train bench-decode bench-rollout bench-mamba bench-packing bench-backbones"
	@echo "make bench-gpu-dry  the GPU benchmark in a tiny form on the processor"
	@echo "make bench-gpu-carry  wheels for the GPU benchmark on a bare machine, under .bench/carry"
	@echo "make demo           train and judge the digits model on this machine"
	@echo "make ablation-fast  the demo's model against its control arms"

setup: $(STAMP) .extras/.setup .clean/.setup

$(STAMP): pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("Python must be 3.11 or newer, but is " + sys.version.split()[0] + "; try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet -c constraints.txt \
	    -e '.[dev,tracking,svl-digits]' $(PLUGINS:%=-e ./%)
	$(LORETTA) plugins doctor
	@touch $@

.extras/.setup: constraints.txt | $(STAMP)
	rm -rf .extras
	$(PIP) install --quiet -c constraints.txt --no-deps --target .extras $(EXTRAS)
	@touch $@

# Where wheels are tried: what they declare to need and nothing else. See tests/project/conftest.py.
CLEAN_PIP = $(PIP) --python .clean/$(1)/bin/python install --quiet -c constraints.txt -r /dev/stdin
DECLARED := $(BIN)/python -c 'import sys, tomllib; [print(need) for path in sys.argv[1:] \
    for need in tomllib.load(open(path, "rb"))["project"]["dependencies"] if not need.startswith("loretta-")]'
AUDIO := plugins/loretta-plugin-audio/pyproject.toml

.clean/.setup: pyproject.toml $(AUDIO) constraints.txt | $(STAMP)
	@( $(DECLARED) pyproject.toml $(AUDIO); cat constraints.txt ) > .venv/declared
	@cmp -s .venv/declared .clean/declared || $(MAKE) --no-print-directory clean-environments
	@touch $@

.PHONY: clean-environments
clean-environments:
	rm -rf .clean
	$(BIN)/python -m venv --without-pip .clean/core
	$(BIN)/python -m venv --without-pip .clean/more
	$(DECLARED) pyproject.toml | $(call CLEAN_PIP,core)
	.clean/core/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > $$(.clean/more/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/core.pth
	( $(DECLARED) $(AUDIO); echo pytest ) | $(call CLEAN_PIP,more)
	cp .venv/declared .clean/declared

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-cache

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not soak" -rfEsxX --no-fold-skipped $(TESTS)

soak: setup
	OMP_NUM_THREADS=1 LORETTA_RESULTS=benchmarks/results \
	    $(BIN)/python -m pytest -m soak -rfEsxX --no-fold-skipped $(TESTS)
	$(MAKE) bench-data

docs: setup
	$(BIN)/mkdocs build --strict

dist: setup
	rm -rf dist
	for project in . $(PLUGINS); do $(BIN)/python -m build --no-isolation --outdir dist $$project || exit 1; done

# Each peer lives in an environment of its own, pinned at its newest release.
DATA_PEERS := webdataset energon streaming
PEERS := hf x_transformers transfusion

.peers/%/.setup: benchmarks/environments/%.txt
	rm -rf .peers/$*
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet -r $<
	@touch $@

bench-startup: setup
	$(BIN)/python -m benchmarks.startup

bench-data: setup $(DATA_PEERS:%=.peers/%/.setup)
	$(BIN)/python -m benchmarks.data

# Name nanoGPT's checkout with NANOGPT_PATH; without it that row is skipped. BENCH holds further options.
BENCH ?=
bench-train: setup $(PEERS:%=.peers/%/.setup)
	$(BIN)/python -m benchmarks.train_cpu $(BENCH)

bench-decode: setup .peers/hf/.setup .peers/x_transformers/.setup
	$(BIN)/python -m benchmarks.decode_cpu $(BENCH)

bench-rollout: setup .peers/hf/.setup
	$(BIN)/python -m benchmarks.rollout $(BENCH)

bench-mamba: setup .peers/hf/.setup
	$(BIN)/python -m benchmarks.mamba $(BENCH)

bench-packing: setup
	$(BIN)/python -m benchmarks.packing $(BENCH)

bench-backbones: setup data/svl-digits/README.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.backbones --jobs 2

bench-gpu-dry: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpu --dry

# What `benchmarks/gpu/run.sh` installs on a machine that has only python3 and torch with CUDA.
CARRY_PYTHON ?= 3.12
CARRY := .bench/carry
bench-gpu-carry: setup
	rm -rf $(CARRY)
	for project in . plugins/loretta-plugin-mamba plugins/loretta-plugin-hyena; do \
	    $(BIN)/python -m build --no-isolation --wheel --outdir $(CARRY) $$project || exit 1; done
	$(PIP) download --quiet --no-deps --only-binary=:all: --dest $(CARRY) -r benchmarks/gpu/carry.txt \
	    --python-version $(CARRY_PYTHON) --implementation cp \
	    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64

bench: bench-train bench-decode bench-rollout bench-mamba bench-packing bench-data bench-startup
	$(BIN)/python -m benchmarks.tables

data/svl-digits/README.md: $(wildcard data/svl-digits-speech/*.tar) loretta_framework/shards/preparers/svl_digits.py | setup
	$(LORETTA) data prepare svl-digits --out data/svl-digits
	@touch $@

demo: setup data/svl-digits/README.md
	$(LORETTA) train recipes/svl-digits.yaml --run-dir runs/svl-digits $(call resume,svl-digits)
	$(LORETTA) evaluate runs/svl-digits
	@echo
	@echo "figures            runs/svl-digits/evaluation.json (the table above)"
	@echo "pictures and sound runs/svl-digits/gallery/"
	@echo "next               $(LORETTA) generate runs/svl-digits --from text=seven --to image --out out/"

ablation-fast: setup data/svl-digits/README.md $(ARMS:%=arm-%)
	$(LORETTA) evaluate runs/svl-digits \
	    --baseline runs/svl-digits-commutative --oracle runs/svl-digits-oracle

.PHONY: $(ARMS:%=arm-%)
$(ARMS:%=arm-%): arm-%: setup data/svl-digits/README.md
	$(LORETTA) train recipes/$*.yaml --run-dir runs/$* $(call resume,$*)
	$(LORETTA) evaluate runs/$*

# A run that exists goes on; a finished one stays as it is.
resume = $(if $(wildcard runs/$(1)/plan.json),--resume)
