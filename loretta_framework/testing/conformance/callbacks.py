"""Checks that concern callbacks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.subject import Subject
from loretta_framework.testing.conformance.trained import small_context

STEPS = 3


@dataclass(slots=True)
class Run:
    """What a callback sees of a run."""

    directory: Path
    plan: Any
    steps: int = STEPS
    step: int = 0


def _metrics(step: int) -> dict[str, float]:
    return {
        "step": float(step),
        "loss": 2.0 / step,
        "lr": 0.001,
        "grad_norm": 1.0,
        "tokens": 100.0,
        "padding": 0.1,
        "tokens_per_second": 1000.0,
        "loss/english->figures": 2.0 / step,
    }


def _watch(built: Any, folder: Path, first: int, last: int) -> None:
    """A run from one step to another."""
    run = Run(folder, small_context().plan, step=first)
    built.on_start(run)
    for step in range(first + 1, last + 1):
        run.step = step
        metrics = _metrics(step)
        given = dict(metrics)
        built.on_step(run, metrics)
        require(metrics == given, f"it changed the metrics of step {step}: {metrics}")
        left = (run.directory, run.steps, run.step) == (folder, STEPS, step)
        require(left, f"it changed the run it was shown at step {step}")
    built.on_end(run)


@check("callback")
def watches_a_run(subject: Subject) -> None:
    """It follows a run from start to end, and changes nothing of what it is shown.

    `on_start(run)` comes before the first step, `on_step(run, metrics)` after each, `on_end(run)`
    after the last. `run` has `directory`, `plan`, `step` and `steps`; `metrics` maps names to numbers:
    step, loss, lr, grad_norm, tokens, padding, tokens_per_second, and the loss of each edge. What is
    shown belongs to the trainer and to other callbacks: copy it before you change it.
    """
    with tempfile.TemporaryDirectory() as folder:
        _watch(subject.build(), Path(folder), 0, STEPS)


@check("callback")
def takes_an_early_end(subject: Subject) -> None:
    """A run may end before its first step, and may start in the middle.

    Runs are stopped by signals and errors, and `on_end` is called then too; a resumed run starts at the step
    of its checkpoint. Open in `on_start`, close in `on_end`, and let nothing rest on a step having been seen.
    """
    with tempfile.TemporaryDirectory() as folder:
        _watch(subject.build(), Path(folder), 0, 0)
        _watch(subject.build(), Path(folder), 1, STEPS)
