"""One optimiser step: rows to batches, sums to one division, checks before the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from loretta_framework.api import random
from loretta_framework.api.errors import TrainingError
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.predicted import moved
from loretta_framework.sequence.rows import TokenRow
from loretta_framework.train.clock import Clock
from loretta_framework.train.distributed import World
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.tasks import Task

Name = tuple[str, str]
"""(task, edge)"""

Sums = list[tuple[Name, Tensor, Tensor]]
"""Weighted nats and weights of an edge in one micro-batch, without gradient."""

ByEdge = dict[Name, float]
"""(task, edge) -> a figure."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step measured, over all ranks.

    Attributes:
        loss: weighted nats over the global count of weights.
        edges: (task, edge) -> nats per token.
        weights: (task, edge) -> sum of the loss weights of its targets.
        grad_norm: before clipping.
        tokens: input tokens of all ranks.
        slots: positions computed for them, padding counted.
    """

    loss: float
    edges: ByEdge
    weights: ByEdge
    grad_norm: float
    tokens: int
    slots: int


class Stepper:
    """Computes gradients and applies the update.

    Args:
        model: in training mode.
        optimizer: over the model's trained parameters.
        tasks: the run's objectives.
        numerics: dtype and layout.
        world: this rank.
        seed: the run's seed.
        accumulate: micro-batches per step.
        clip_norm: None for no clipping.
        capacity: tokens of a packed line.
        buckets: number of line lengths, None for any.
        clock: told where the time goes.
    """

    def __init__(
        self,
        model: AnyToAny,
        optimizer: torch.optim.Optimizer,
        tasks: Sequence[Task],
        numerics: Numerics,
        world: World,
        *,
        seed: int,
        accumulate: int,
        clip_norm: float | None,
        capacity: int,
        buckets: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.model, self.optimizer, self.tasks = model, optimizer, tasks
        self.numerics, self.world, self.seed = numerics, world, seed
        self.accumulate, self.clip_norm, self.capacity = accumulate, clip_norm, capacity
        self.buckets, self.clock = buckets, clock or Clock()
        # Walking through the modules for them takes longer than a small model's whole update.
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}

    def run(
        self,
        step: int,
        rows: Mapping[str, Sequence[TokenRow]],
        beside: Callable[[], None] = lambda: None,
    ) -> StepResult:
        """One step on the rows of each task.

        Args:
            step: from 0.
            rows: by task.
            beside: called when forward and backward are queued, before anything waits for them.

        Raises:
            TrainingError: loss or gradient is not finite; the weights are as before the step.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums: Sums = []
        everything = [row for task_rows in rows.values() for row in task_rows]
        tokens = slots = 0
        for micro in range(self.accumulate):
            part = everything[micro :: self.accumulate]
            if part:
                batch = self._backward(step, micro, part, sums)
                tokens, slots = tokens + batch.tokens, slots + batch.slots
        beside()
        self.clock.mark("rollout")
        names, table, (tokens, slots) = self._reduce(step, sums, (tokens, slots))
        weights = {
            name: weight for name, (_, weight) in zip(names, table, strict=True) if weight > 0
        }
        edges = {
            name: nats / weight
            for name, (nats, weight) in zip(names, table, strict=True)
            if weight > 0
        }
        count = sum(weights.values())
        self.world.sum_gradients(self._trained.values())
        grad_norm = self._scale_and_clip(step, count)
        if count > 0:
            self.optimizer.step()
        self.clock.mark("optimizer")
        factors = {task.plan.name: task.plan.weight for task in self.tasks}
        loss = sum(factors[name[0]] * nats for name, (nats, _) in zip(names, table, strict=True))
        return StepResult(loss / max(count, 1e-9), edges, weights, grad_norm, tokens, slots)

    def _backward(self, step: int, micro: int, part: Sequence[TokenRow], sums: Sums) -> Batch:
        """Add the gradients of a micro-batch, and return it."""
        self._seed(step, micro)
        form = self.numerics.form
        capacity = max(self.capacity, max(len(row) for row in part))
        batch = collate(part, form, capacity, self.buckets, self.model.vocabulary).to(
            self.numerics.device
        )
        self.clock.mark("other")
        with self.numerics.autocast():
            outputs = self.model(batch)
        total: Tensor | float = 0.0
        for task in self.tasks:
            for edge, (nats, weight) in task.objective.loss(outputs, batch).items():
                sums.append(((task.plan.name, edge), nats.detach(), weight.detach()))
                total = total + (nats if task.plan.weight == 1.0 else task.plan.weight * nats)
        self.clock.mark("forward")
        if isinstance(total, Tensor) and total.requires_grad:  # rows may carry no loss at all
            total.backward()  # type: ignore[no-untyped-call]
        self.clock.mark("backward")
        return batch

    def _seed(self, step: int, micro: int) -> None:
        """Dropout draws from torch's generators; seeding them by counter makes a restart exact.

        Not `torch.manual_seed`, which without a GPU writes down its caller's stack every time.
        """
        key = random.key(self.seed, "dropout", step, micro, self.world.rank) % 2**63
        torch.default_generator.manual_seed(key)
        if self.numerics.device.type == "cuda":
            torch.cuda.manual_seed(key)

    def _reduce(
        self, step: int, sums: Sums, sizes: tuple[int, int]
    ) -> tuple[list[Name], list[list[float]], tuple[int, int]]:
        """Edges, the (nats, weights) of each, and the sizes, over all ranks: the step's one wait."""
        names = self._all_edges({name for name, _, _ in sums})
        device = self.numerics.device
        table_E2 = torch.zeros(len(names) + 1, 2, dtype=torch.float64, device=device)
        if sums:
            places = torch.tensor([names.index(name) for name, _, _ in sums])
            found = torch.stack([one for _, *pair in sums for one in pair]).double().view(-1, 2)
            table_E2.index_add_(0, moved(places, device), found)
        table_E2[-1] += moved(torch.tensor(sizes, dtype=torch.float64), device)
        *table, (tokens, slots) = self.world.sum(table_E2).tolist()
        bad = [
            name for name, (nats, _) in zip(names, table, strict=True) if not math.isfinite(nats)
        ]
        if bad:
            named = ", ".join(f"{edge} ({task})" for task, edge in bad)
            raise TrainingError(
                f"the loss is not finite on {named}; the weights were not updated",
                where=f"step {step}",
                fix="resume with a lower optimizer.lr, or look at the data of that edge",
            )
        return names, table, (int(tokens), int(slots))

    def _all_edges(self, own: set[Name]) -> list[Name]:
        names = sorted(own)
        if self.world.size == 1:
            return names
        gathered: list[list[Name]] = [[] for _ in range(self.world.size)]
        torch.distributed.all_gather_object(gathered, names)
        return sorted({name for part in gathered for name in part})

    def _scale_and_clip(self, step: int, count: float) -> float:
        """The norm, then one factor for the division by the global count and for clipping."""
        gradients = [p.grad for p in self._trained.values() if p.grad is not None]
        if not gradients:
            return 0.0
        norms = torch.stack(torch._foreach_norm(gradients))
        norm = float(torch.linalg.vector_norm(norms)) / max(count, 1e-9)
        if not math.isfinite(norm):
            self._raise_for_gradient(step)
        limit = self.clip_norm if self.clip_norm is not None else math.inf
        factor = min(1.0, limit / (norm + 1e-6)) / max(count, 1e-9)
        torch._foreach_mul_(gradients, factor)
        return norm

    def _raise_for_gradient(self, step: int) -> None:
        bad = [
            name
            for name, p in self._trained.items()
            if p.grad is not None and not bool(torch.isfinite(p.grad).all())
        ]
        raise TrainingError(
            f"the gradient of '{bad[0] if bad else '?'}' is not finite; the weights were not updated",
            where=f"step {step}",
            fix="resume with a lower optimizer.lr, or with train.precision=fp32",
        )
