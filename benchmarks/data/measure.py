"""One reader, one kind of sample, one number of workers: prints a line of JSON.

python measure.py READER KIND WORKERS FOLDER [--position N] [--seconds S]
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
from pathlib import Path

from work import KINDS


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=["ours", "webdataset", "energon", "streaming"])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("workers", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--position", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--prepare", action="store_true")
    chosen = parser.parse_args()
    here = Path(__file__).parent
    # A reader's file is called like the package it uses; as a script's folder it would shadow it.
    sys.path[:] = [str(here), *(p for p in sys.path if Path(p or ".").resolve() != here)]
    reader = importlib.import_module(f"readers.{chosen.reader}")
    if chosen.prepare:
        getattr(reader, "prepare", lambda *_: None)(chosen.folder, chosen.kind)
        return
    print(json.dumps(measure(reader, chosen)), flush=True)


def measure(reader: object, chosen: argparse.Namespace) -> dict[str, float]:
    """Time to the first batch, then samples per second until the time is up."""
    began = time.perf_counter()
    batches = reader.start(chosen.folder, chosen.kind, chosen.workers, chosen.position)  # type: ignore[attr-defined]
    next(batches)
    first = time.perf_counter()
    cpu, samples = time.process_time(), 0
    while time.perf_counter() - first < chosen.seconds:
        samples += next(batches)
    seconds = time.perf_counter() - first
    return {
        "first_batch_s": first - began,
        "samples_per_s": samples / seconds,
        "main_cpu_us_per_sample": (time.process_time() - cpu) / samples * 1e6,
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    import os

    main()
    sys.stdout.flush()
    os._exit(0)  # loaders of some peers keep threads that never end
