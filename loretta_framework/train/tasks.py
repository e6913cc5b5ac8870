"""The run's objectives at work: samples to rows, with their pools and contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import IntArray, Objective
from loretta_framework.api.specs import ObjectiveSpec
from loretta_framework.generation.rollout import RolloutCounters, RolloutRequest, rollout
from loretta_framework.generation.sampling import samplings
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.recipe.plan import Plan, TaskPlan
from loretta_framework.registry import Builder
from loretta_framework.sequence.rows import TokenizedSample, TokenRow
from loretta_framework.train.average import MovingAverage
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.pool import Pooled, RowPool
from loretta_framework.train.quality import EdgeQuality


@dataclass(slots=True)
class Task:
    """One objective of the run.

    Attributes:
        plan: share, weight, schedule.
        objective: the component.
        context: what it is handed.
        generates: whether its rows hold generated segments.
        pool: rows made ahead.
        drawn: those of this step.
    """

    plan: TaskPlan
    objective: Objective
    context: ObjectiveContext
    generates: bool
    pool: RowPool = field(default_factory=RowPool)
    drawn: list[Pooled] = field(default_factory=list)

    def rows(self, samples: Sequence[TokenizedSample], step: int, steps: int) -> list[TokenRow]:
        """The rows of one step, told by what the task was handed for it and the steps after it."""
        # With overlap the step before made them; the first step of a run has none before it.
        if samples and not (self.plan.overlap and step > 0):
            self._make(samples, step)
        count = len(self.pool)
        if self.plan.every > 1:
            # Ceiling, so that a rank whose slice does not divide evenly still empties its pool.
            count = -(-count // max(1, self._steps_left(step, steps)))
        self.drawn = self.pool.draw(count)
        return [pooled.row for pooled in self.drawn]

    def make_ahead(self, coming: Sequence[TokenizedSample], step: int) -> None:
        """With overlap, make the rows of the samples of the next step; the pool is empty then."""
        if coming and self.plan.overlap:
            self._make(coming, step)

    def made_at(self, step: int) -> int:
        """When the rows of a pool were made that is left after `step` steps, without overlap."""
        return step - (step - self.plan.start_step) % self.plan.every

    def _make(self, samples: Sequence[TokenizedSample], step: int) -> None:
        self.pool.fill(self.objective.sequences(samples, self.context), step)

    def _steps_left(self, step: int, steps: int) -> int:
        """Steps, this one included, until the task is handed samples again."""
        since = (step - self.plan.start_step) % self.plan.every
        return min(self.plan.every - since, steps - step)


class TaskBuilder(Builder):
    """What an objective's factory is given: a builder that also knows the task's name."""

    def __init__(self, builder: Builder, task: str) -> None:
        super().__init__(builder.registry, builder.note)
        self.task = task


class Rollouts:
    """Generates for objectives with the model's live or average weights, and counts."""

    def __init__(self, model: AnyToAny, seed: int, numerics: Numerics) -> None:
        self.model, self.seed, self.numerics = model, seed, numerics
        self.average: MovingAverage | None = None
        self.counters = RolloutCounters()

    def __call__(
        self,
        requests: Sequence[RolloutRequest],
        temperature: float | Mapping[str, float],
        top_k: int | None,
        use_average: bool,
        /,
        *,
        top_p: float | None = None,
        min_p: float | None = None,
    ) -> list[IntArray]:
        """See `api.objectives.Rollout`."""
        targets = {modality for request in requests for modality in request.path[1:]}
        sampling = samplings(targets, temperature, top_k, top_p, min_p)
        average = self.average if use_average else None
        weights = average.swapped(self.model) if average is not None else nullcontext()
        with self.numerics.autocast(), weights:
            return rollout(
                self.model, requests, self.seed, sampling=sampling, counters=self.counters
            )


def build_tasks(
    plan: Plan, builder: Builder, rollouts: Rollouts, quality: EdgeQuality
) -> list[Task]:
    """Every objective of the Plan, built."""
    tasks = []
    for task in plan.tasks:
        context = ObjectiveContext(
            plan.vocabulary, plan.bridges, plan.seed, task.name, rollouts, quality.gain
        )
        kind, settings = task.component.kind, task.component.settings
        objective = TaskBuilder(builder, task.name).build_spec("objective", kind, settings)
        spec = builder.registry.spec("objective", kind)
        assert isinstance(spec, ObjectiveSpec)
        tasks.append(Task(task, objective, context, spec.capabilities.rollouts))
    return tasks


def task_tensors(tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Pools and objectives' own state, by "<task>/pool/<column>" and "<task>/state/<name>"."""
    tensors = {}
    for task in tasks:
        for column, values in task.pool.tensors().items():
            tensors[f"{task.plan.name}/pool/{column}"] = values
        for name, array in task.objective.state().items():
            tensors[f"{task.plan.name}/state/{name}"] = torch.from_numpy(np.asarray(array))
    return tensors


def restore_tasks(
    tasks: Sequence[Task], tensors: Mapping[str, Tensor], names: Mapping[str, Any], step: int
) -> None:
    """Put back what `task_tensors` gave after `step` steps; `names` holds each pool's row names."""
    for task in tasks:
        pool, state = (
            {
                key.removeprefix(prefix): value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
            for prefix in (f"{task.plan.name}/pool/", f"{task.plan.name}/state/")
        )
        task.pool.restore(pool, names.get(task.plan.name, []), task.made_at(step))
        task.objective.restore({name: value.numpy() for name, value in state.items()})
