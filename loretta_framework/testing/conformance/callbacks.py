"""Checks that concern callbacks."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.atomic import plain_json
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import shown
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


def _watch(
    built: Any, folder: Path, first: int, last: int, saved_at: int = 0
) -> Mapping[str, Any] | None:
    """A run from one step to another; the callback's state after the step `saved_at`."""
    saved = None
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
        if step == saved_at:
            saved = copy.deepcopy(built.state())
    built.on_end(run)
    return saved


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


@check("callback")
def state_round_trip(subject: Subject) -> None:
    """One that `restore`s another's `state` goes on as that one would have.

    Checkpoints hold what `state()` gives, as JSON: texts as keys, finite numbers, lists and no tuples. A
    resumed run calls `restore` on a fresh instance, before `on_start`, which must not clear it. Give all
    that later output depends on besides settings and metrics; a callback that remembers nothing over a
    restart has neither method.
    """
    built, fresh = subject.build(), subject.build()
    has = [callable(getattr(built, name, None)) for name in ("state", "restore")]
    if not any(has):
        raise NotApplicable("it has no `state` and no `restore`")
    require(all(has), "it has only one of `state` and `restore`")
    with tempfile.TemporaryDirectory() as folder:
        saved = _watch(built, Path(folder), 0, STEPS - 1, saved_at=STEPS - 1)
        fault = refusal(plain_json, saved)
        plain = isinstance(saved, Mapping) and not fault and json.loads(plain_json(saved)) == saved
        require(plain, f"the state {shown(saved)} must be plain JSON data {fault}")
        fresh.restore(json.loads(plain_json(saved)))
        again = fresh.state()
        require(again == saved, f"of the state {shown(saved)} came {shown(again)}")
        resumed = _watch(fresh, Path(folder), STEPS - 1, STEPS, saved_at=STEPS)
        whole = _watch(subject.build(), Path(folder), 0, STEPS, saved_at=STEPS)
    text = f"a resumed run ends with {shown(resumed)}, an uninterrupted one with {shown(whole)}"
    require(resumed == whole, text)
