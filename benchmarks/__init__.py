"""One command per experiment: `python -m benchmarks.train_cpu`, `decode_cpu`, `mamba`, `packing`, ...

Run them in the root of the repository with the project's own python. `docs/benchmarks.md` says what
each measures and holds the tables made from `benchmarks/results`. Peers run in environments of their
own under `.peers`, which `make .peers/NAME/.setup` builds. Importing this package imports nothing.
"""
