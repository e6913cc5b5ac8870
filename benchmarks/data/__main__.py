"""L1: the data benchmark, whole.

    python -m benchmarks.data [--folder .bench/data] [further options of run.py]

Writes the shards that are not there yet, measures the index of a million samples, then reads beside
the peers whose environments are built (`make .peers/webdataset/.setup`, energon, streaming).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import ROOT, today
from benchmarks.results import RESULTS

HERE = Path(__file__).parent
PEERS = ("webdataset", "energon", "streaming")


def main() -> None:
    """Run the three scripts, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "data")
    chosen, more = parser.parse_known_args()
    million, loading = (
        str(RESULTS / f"{today()}-{name}.json") for name in ("index-of-a-million", "data-loading")
    )
    script("make.py", str(chosen.folder))
    script("million.py", "--out", million)
    script("run.py", str(chosen.folder), loading, *peers(ROOT), *more)


def peers(root: Path) -> list[str]:
    """The options that name the environments that are there."""
    built = [name for name in PEERS if (root / ".peers" / name / ".setup").is_file()]
    return [part for name in built for part in ("--peer", f"{name}={root / '.peers' / name}")]


def script(name: str, *arguments: str) -> None:
    """Run one with this python; it may call the `loretta` that lies beside it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(HERE / name), *arguments], env=environment, check=True)


if __name__ == "__main__":
    main()
