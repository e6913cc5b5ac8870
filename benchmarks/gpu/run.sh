#!/usr/bin/env bash
# Run benchmarks.gpu on a machine that has only python3 and torch with CUDA: installs the carried
# wheels aside and measures. `make bench-gpu-carry` fills .bench/carry. First argument: result file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
site="$(mktemp -d)"
trap 'rm -rf "$site"' EXIT
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .bench/carry/*.whl
PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 python3 -m benchmarks.gpu --out "$@"
