"""`python -m benchmarks.startup [OUT.json] [--runs 21]`: see `run.py`."""

from __future__ import annotations

import sys

from benchmarks.machine import today
from benchmarks.results import RESULTS
from benchmarks.startup.run import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or (sys.argv[1].startswith("-") and "--help" not in sys.argv):
        sys.argv.insert(1, str(RESULTS / f"{today()}-startup.json"))
    main()
