"""Where the time of a training step goes: some steps of the real recipe, in a directory that is
removed again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import aligned
from loretta_framework.train.advice import advice
from loretta_framework.train.clock import PHASES, Clock, Phase
from loretta_framework.train.loop import Trainer
from loretta_framework.train.run import opened

STEPS = 20
"""Steps that are measured; whole periods of what is generated for several steps at once."""

WARM_UP = 2
"""Steps before them: loaders start, memory is claimed, what is compiled is compiled."""


class StopWatch(Clock):
    """Adds up the seconds of each phase. On a GPU every mark waits for what is queued.

    Args:
        device: where the model computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self._cuda = device.type == "cuda"
        self._last = time.perf_counter()

    def reset(self) -> None:
        """Begin again."""
        self.mark("other")
        self.seconds = dict.fromkeys(PHASES, 0.0)

    def mark(self, phase: Phase) -> None:
        """See `Clock`."""
        if self._cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[phase] += now - self._last
        self._last = now


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured.

    Attributes:
        first: first step that was measured.
        steps: number of them.
        milliseconds: of a step, by phase.
        tokens_per_second: input tokens, padding not counted.
        padding: part of the positions that hold none.
        notes: what to know about the figures.
        advice: what would make steps faster; the largest part first.
    """

    first: int
    steps: int
    milliseconds: Mapping[Phase, float]
    tokens_per_second: float
    padding: float
    notes: tuple[str, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the share of each phase."""
        total = sum(self.milliseconds.values())
        return {
            "first_step": self.first,
            "steps": self.steps,
            "phases": {
                phase: {"ms": ms, "share": ms / total} for phase, ms in self.milliseconds.items()
            },
            "ms_per_step": total,
            "tokens_per_second": self.tokens_per_second,
            "padding": self.padding,
            "notes": list(self.notes),
            "advice": list(self.advice),
        }

    def lines(self) -> list[str]:
        """A table, the figures below it, and the advice."""
        total = sum(self.milliseconds.values())
        rows = [
            [phase, f"{ms:.1f}", f"{ms / total:.1%}"] for phase, ms in self.milliseconds.items()
        ]
        table = aligned([["phase", "ms per step", "share"], *rows, ["step", f"{total:.1f}", ""]])
        last = self.first + self.steps - 1
        return [
            *table,
            f"steps {self.first} to {last}, {self.tokens_per_second:,.0f} tokens/s, "
            f"padding {self.padding:.1%}",
            *(f"note: {note}" for note in self.notes),
            *(f"advice: {one}" for one in self.advice or ["nothing stands out"]),
        ]


def profile(loaded: LoadedRecipe, say: Callable[[str], None]) -> Profile:
    """Train for some steps and tell where their time went. Nothing is left behind.

    The steps are those from the start of the last task on, so that what is generated is in the
    figures. Validation, checkpoints and callbacks are left out.

    Args:
        loaded: the recipe.
        say: told what was chosen and why.

    Raises:
        LorettaError: what `train.run.train` raises.
    """
    with (
        tempfile.TemporaryDirectory(prefix="loretta-profile-") as folder,
        opened(loaded, Path(folder) / "run", say) as trainer,
    ):
        return _measured(trainer)


def _measured(trainer: Trainer) -> Profile:
    plan = trainer.plan
    start, steps = _window(plan)
    begin = max(0, start - WARM_UP - 1)  # with `overlap`, a step makes what the next one draws
    watch = StopWatch(trainer.stepper.numerics.device)
    trainer.clock = trainer.stepper.clock = watch
    trainer.held_out, trainer.callbacks = (), ()
    trainer.step = begin
    trainer.model.train()
    tokens = slots = 0.0
    for samples in trainer.fetched(start + steps):
        trainer.one(samples)
        if trainer.step <= start:
            watch.reset()
            continue
        watch.mark("other")
        tokens += trainer.last["tokens"]
        slots += trainer.last["tokens"] / (1 - trainer.last["padding"])
    ms: dict[Phase, float] = {phase: 1e3 * watch.seconds[phase] / steps for phase in PHASES}
    padding = 1 - tokens / max(slots, 1.0)
    return Profile(
        start,
        steps,
        ms,
        tokens / max(sum(watch.seconds.values()), 1e-9),
        padding,
        _notes(trainer, start, steps),
        advice(trainer, ms, padding),
    )


def _window(plan: Plan) -> tuple[int, int]:
    """First measured step, and how many: after every task has begun, and whole periods of it."""
    every = max((task.every for task in plan.tasks), default=1)
    steps = min(plan.steps, max(1, STEPS // every) * every)
    start = max(task.start_step for task in plan.tasks) + WARM_UP
    return max(0, min(start, plan.steps - steps)), steps


def _notes(trainer: Trainer, start: int, steps: int) -> tuple[str, ...]:
    notes = []
    late = [task.plan for task in trainer.tasks if task.plan.start_step > 0]
    if late:
        named = ", ".join(f"'{task.name}' (step {task.start_step})" for task in late)
        notes.append(f"measured from step {start} on, with fresh weights: {named} begins late")
    generating = any(task.generates for task in trainer.tasks)
    if generating and not trainer.rollouts.counters.tokens:
        notes.append("nothing was generated: no link is good enough yet, or none is needed")
    return tuple(notes)
