"""The data benchmark beside its peers, in interleaved rounds; writes one result file.

    python run.py FOLDER OUT.json --peer webdataset=ENV --peer energon=ENV --peer streaming=ENV

FOLDER holds the shards (`make.py` writes them). ENV is a virtual environment with the peer's newest
release, torch, Pillow and soundfile. Run it with the project's own python, on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from work import KINDS, SAMPLES

HERE = Path(__file__).parent
PACKAGES = {
    "webdataset": "webdataset",
    "energon": "megatron-energon",
    "streaming": "mosaicml-streaming",
}
Cell = tuple[str, int, str]


def main() -> None:
    """Measure every cell in turn, round after round, then summarise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=ENV")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5)
    chosen = parser.parse_args()
    pythons = {"ours": sys.executable}
    for peer in chosen.peer:
        name, _, environment = peer.partition("=")
        pythons[name] = str(Path(environment) / "bin" / "python")
    for name, python in pythons.items():
        for kind in chosen.kinds:
            _measure(python, name, kind, 0, chosen.folder, "--prepare")
    found: dict[Cell, list[dict[str, float]]] = defaultdict(list)
    for _ in range(chosen.rounds):
        for kind in chosen.kinds:
            for workers in chosen.workers:
                for name, python in pythons.items():
                    row = _measure(
                        python, name, kind, workers, chosen.folder, "--seconds", str(chosen.seconds)
                    )
                    found[kind, workers, name].append(row)
                    print(kind, workers, name, row, file=sys.stderr, flush=True)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "versions": {name: _version(pythons[name], name) for name in pythons},
        "rounds": chosen.rounds,
        "cells": _cells(found),
        "resume_s": _resume(pythons, chosen),
    }
    aside = chosen.out.with_suffix(".tmp")
    aside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(aside, chosen.out)


def _measure(
    python: str, name: str, kind: str, workers: int, folder: Path, *more: str
) -> dict[str, float]:
    command = [python, str(HERE / "measure.py"), name, kind, str(workers), str(folder), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    line = done.stdout.strip().splitlines()[-1:] or ["{}"]
    answer: dict[str, float] = json.loads(line[0]) if line[0].startswith("{") else {}
    return answer


def _cells(found: Mapping[Cell, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Medians of each cell, and ours over the fastest peer of the cell."""
    cells = []
    for kind, workers in dict.fromkeys((kind, workers) for kind, workers, _ in found):
        readers = {
            name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            for (k, w, name), rows in found.items()
            if (k, w) == (kind, workers)
        }
        speed = {name: row["samples_per_s"] for name, row in readers.items()}
        peers = {name: value for name, value in speed.items() if name != "ours"}
        cell: dict[str, Any] = {"kind": kind, "workers": workers, "readers": readers}
        if peers:
            fastest = max(peers, key=lambda name: peers[name])
            cell["fastest_peer"] = fastest
            cell["ratio_to_fastest"] = speed["ours"] / peers[fastest]
            cell["ratio_to"] = {name: speed["ours"] / value for name, value in peers.items()}
        cells.append(cell)
    return cells


def _resume(pythons: Mapping[str, str], chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds from opening to the first batch, at the start and at 90 % of an epoch, no workers.

    webdataset keeps no position: it gets there by reading again what it has read. megatron-energon
    restores a state that was saved there, which is not measured here.
    """
    found: dict[str, Any] = {}
    for name in [name for name in pythons if name != "energon"]:
        python = pythons[name]
        for kind in chosen.kinds:
            position = SAMPLES[kind] * 9 // 10
            at = [
                statistics.median(
                    _measure(
                        python, name, kind, 0, chosen.folder,
                        "--seconds", "0.1", "--position", str(place),
                    )["first_batch_s"]
                    for _ in range(chosen.rounds)
                )
                for place in (0, position)
            ]  # fmt: skip
            found[f"{name} {kind}"] = {"from_the_start": at[0], "at_90_percent": at[1]}
    return found


def _version(python: str, name: str) -> str:
    package = PACKAGES.get(name, "loretta-framework")
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
