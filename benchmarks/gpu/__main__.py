"""G1, D2 and parity on one CUDA device, in one command of less than 8 minutes.

    python -m benchmarks.gpu [--out FILE] [--nanogpt PATH] [--budget 440] [--sections ceilings ...]
    python -m benchmarks.gpu --dry        # tiny, on the processor: shows that the command works

On a machine that has nothing but python3 and torch with CUDA:

1. Here, once: `make bench-gpu-carry`. It fills `.bench/carry` with wheels of the framework, its
   backbone plugins and what they import (`benchmarks/gpu/carry.txt`), for the python of that machine
   (`make bench-gpu-carry CARRY_PYTHON=3.12`).
2. Take the working tree and `.bench/carry` there; a checkout of nanoGPT too, if it is to take part.
3. There, in the tree's root: `bash benchmarks/gpu/run.sh OUT.json [--nanogpt PATH]`.

What is installed there besides takes part: transformers, flash-attn, mamba-ssm, causal-conv1d,
flash-fft-conv. The result file is written after each section, and again when one fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contestants import device_checks
from benchmarks.gpu import training
from benchmarks.machine import today, versions
from benchmarks.options import print_summary
from benchmarks.peers import OURS, Absent, Peer
from benchmarks.results import RESULTS, Result, Row
from benchmarks.rounds import Rounds

BUDGET_S = 440.0
SECTIONS = {
    "ceilings": 40,
    "parity": 100,
    "decoding": 60,
    "small": 130,
    "transitive": 60,
    "large": 110,
}
"""Most seconds of each, in the order in which they run."""
PACKAGES = ("torch", "triton", "numpy", "transformers", "flash-attn", "mamba-ssm", "causal-conv1d")


def main() -> None:
    """Run the sections that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, help="Result file; default: benchmarks/results.")
    options.add_argument("--nanogpt", default=os.environ.get("NANOGPT_PATH"), metavar="PATH")
    options.add_argument("--budget", type=float, default=BUDGET_S, help="Seconds of all sections.")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options.add_argument("--dry", action="store_true", help="Tiny, on the processor.")
    measure(options.parse_args())


def measure(chosen: argparse.Namespace) -> Result:
    """All sections, each within its time; the file holds what is measured so far.

    Raises:
        SystemExit: there is no CUDA device, or a check failed.
    """
    device = "cpu" if chosen.dry else "cuda"
    result = Result("gpu", " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]))
    result.about = {"device": described(device), "packages": versions(PACKAGES), "seconds": {}}
    out = chosen.out or (None if chosen.dry else RESULTS / f"{today()}-gpu.json")
    ends = time.monotonic() + chosen.budget
    for name in chosen.sections:
        began = time.monotonic()
        if began >= ends:
            result.rows.append(Row(name, "all", "", skipped="the time of the command was over"))
            continue
        section(name, result, chosen, device, min(ends, began + SECTIONS[name]))
        result.about["seconds"][name] = round(time.monotonic() - began, 1)
        if out:
            result.write(out)
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    print_summary(result)
    failed = [row.name for row in result.rows if row.facts.get("ok") is False]
    if failed:
        raise SystemExit(f"{len(failed)} checks failed: {'; '.join(failed)}")
    return result


def described(device: str) -> dict[str, Any]:
    """Name and memory of the device.

    Raises:
        SystemExit: there is none.
    """
    if device == "cpu":
        return {"name": "cpu"}
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device; --dry runs tiny forms of all sections without")
    facts = torch.cuda.get_device_properties(0)
    return {
        "name": facts.name,
        "gb": round(facts.total_memory / 1e9, 1),
        "cuda": torch.version.cuda,
    }


def section(
    name: str, result: Result, chosen: argparse.Namespace, device: str, deadline: float
) -> None:
    """One section; whatever it could not do is a row with the reason."""
    if name in device_checks.GROUPS:
        run_checks(name, result, device, chosen.dry, deadline)
    elif name == "transitive":
        training.transitive(result, chosen, deadline)
    else:
        training.train(result, chosen, device, name == "large", deadline)


def run_checks(group: str, result: Result, device: str, dry: bool, deadline: float) -> None:
    """The checks of a group in a process of their own: a kernel that crashes takes none but itself."""
    spec = {"group": group, "device": device, "dry": dry}
    if dry:
        events: list[dict[str, Any]] = []
        numbers = range(len(device_checks.checks(group, device, dry)))
        device_checks.work(spec, Rounds(numbers, events.append))
        result.rows += [_row(group, event) for event in events[1:]]
        return
    number, names = 0, ["all"]
    while number < len(names):
        try:
            peer = Peer(OURS, "device_checks", spec, training.CORES, deadline)
            names = peer.ready()["checks"]
            number = _ask(peer, group, number, names, result)
        except Absent as error:
            row = Row(group, names[number], "", facts={"ok": False}, skipped=str(error))
            result.rows.append(row)
            number += 1
        if time.monotonic() > deadline:
            left = (Row(group, name, "", skipped="no time was left") for name in names[number:])
            result.rows += left
            return


def _ask(peer: Peer, group: str, number: int, names: list[str], result: Result) -> int:
    """Ask for checks until one fails: an error of the device would fail all that follow."""
    row = None
    while number < len(names) and not (row and row.facts.get("ok") is False):
        try:
            row = _row(group, peer.round(number))
        except Absent as error:
            row = Row(group, names[number], "", facts={"ok": False}, skipped=str(error))
        result.rows.append(row)
        number += 1
    peer.close()
    return number


def _row(group: str, event: dict[str, Any]) -> Row:
    facts = {
        k: v for k, v in event.items() if k not in ("event", "seconds", "cpu_seconds", "check")
    }
    skipped = facts.pop("skipped", "") or facts.get("failed", "")
    return Row(group, event["check"], "", facts=facts, skipped=skipped)


if __name__ == "__main__":
    main()
