"""The run's objectives at work: samples to rows, with their pools and contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import IntArray, Objective
from loretta_framework.api.specs import ObjectiveSpec
from loretta_framework.generation.rollout import RolloutCounters, RolloutRequest, rollout
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.recipe.plan import Plan, TaskPlan
from loretta_framework.registry import Builder
from loretta_framework.sequence.rows import TokenizedSample, TokenRow
from loretta_framework.train.average import MovingAverage
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.pool import RowPool
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
    """

    plan: TaskPlan
    objective: Objective
    context: ObjectiveContext
    generates: bool
    pool: RowPool = field(default_factory=RowPool)

    def rows(self, samples: Sequence[TokenizedSample], handed_for: int) -> list[TokenRow]:
        """The rows of one step; `samples` are those of `handed_for` steps when it takes several."""
        if samples:
            self.pool.fill(list(self.objective.sequences(samples, self.context)))
        if self.plan.every == 1:
            return self.pool.draw(len(self.pool))
        # Ceiling, so that a rank whose slice does not divide evenly still empties its pool.
        return self.pool.draw(-(-len(self.pool) // max(1, handed_for)))

    def steps_left(self, step: int, steps: int) -> int:
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
        temperature: float,
        top_k: int | None,
        use_average: bool,
    ) -> list[IntArray]:
        """See `objectives.context.Rollout`."""
        with self.numerics.autocast():
            if use_average and self.average is not None:
                with self.average.swapped(self.model):
                    return self._walk(requests, temperature, top_k)
            return self._walk(requests, temperature, top_k)

    def _walk(
        self, requests: Sequence[RolloutRequest], temperature: float, top_k: int | None
    ) -> list[IntArray]:
        return rollout(
            self.model,
            requests,
            self.seed,
            temperature=temperature,
            top_k=top_k,
            counters=self.counters,
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
    tasks: Sequence[Task], tensors: Mapping[str, Tensor], names: Mapping[str, Any]
) -> None:
    """Put back what `task_tensors` gave; `names` holds each pool's row names."""
    for task in tasks:
        pool, state = (
            {
                key.removeprefix(prefix): value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
            for prefix in (f"{task.plan.name}/pool/", f"{task.plan.name}/state/")
        )
        task.pool.restore(pool, names.get(task.plan.name, []))
        task.objective.restore({name: value.numpy() for name, value in state.items()})
