"""The checks of `benchmarks.gpu.checks`, one a round: the pieces that are asked for are its number."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from benchmarks.rounds import Rounds

GROUPS = ("ceilings", "parity", "decoding")


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Run what is asked for. Spec: group, device, dry."""
    found = checks(spec["group"], spec["device"], spec["dry"])
    names = list(found)
    rounds.about(checks=names)
    for number in rounds:
        name, began = names[number], time.perf_counter()
        try:
            figures = found[name]()
        except Exception as error:  # whatever a kernel does, it is the check's result
            figures = {"ok": False, "failed": f"{type(error).__name__}: {error}"[:500]}
        rounds.note(check=name, took_s=round(time.perf_counter() - began, 2), **figures)


def checks(group: str, device: str, dry: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Those of a group by name."""
    module = importlib.import_module(f"benchmarks.gpu.checks.{group}")
    found: dict[str, Callable[[], dict[str, Any]]] = module.checks(device, dry)
    return found
