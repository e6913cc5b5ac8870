"""One optimiser step: rows to batches, sums to one division, checks before the update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from loretta_framework.api import random
from loretta_framework.api.errors import TrainingError
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import TokenRow
from loretta_framework.train.distributed import World
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.tasks import Task

Sums = dict[tuple[str, str], Tensor]
"""(task, edge) -> float64 (2,): weighted nats and weights, no gradient."""

ByEdge = dict[tuple[str, str], float]
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
    ) -> None:
        self.model, self.optimizer, self.tasks = model, optimizer, tasks
        self.numerics, self.world, self.seed = numerics, world, seed
        self.accumulate, self.clip_norm, self.capacity = accumulate, clip_norm, capacity
        self.buckets = buckets

    def run(self, step: int, rows: Mapping[str, Sequence[TokenRow]]) -> StepResult:
        """One step on the rows of each task.

        Raises:
            TrainingError: loss or gradient is not finite; the weights are as before the step.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums: Sums = {}
        everything = [row for task_rows in rows.values() for row in task_rows]
        tokens = slots = 0
        for micro in range(self.accumulate):
            part = everything[micro :: self.accumulate]
            if part:
                batch = self._backward(step, micro, part, sums)
                tokens, slots = tokens + batch.tokens, slots + batch.slots
        edges, weights, loss = self._reduce(step, sums)
        count = sum(weights.values())
        self.world.sum_gradients(self.model.parameters())
        grad_norm = self._scale_and_clip(step, count)
        if count > 0:
            self.optimizer.step()
        size = torch.tensor([tokens, slots], dtype=torch.float64, device=self.numerics.device)
        tokens, slots = (int(total) for total in self.world.sum(size).tolist())
        return StepResult(loss, edges, weights, grad_norm, tokens, slots)

    def _backward(self, step: int, micro: int, part: Sequence[TokenRow], sums: Sums) -> Batch:
        """Add the gradients of a micro-batch, and return it."""
        # Dropout draws from torch's generator; seeding it by counter makes a restart exact.
        key = random.key(self.seed, "dropout", step, micro, self.world.rank)
        torch.manual_seed(key % 2**63)
        form = self.numerics.form
        capacity = max(self.capacity, max(len(row) for row in part))
        batch = collate(part, form, capacity, self.buckets, self.model.vocabulary).to(
            self.numerics.device
        )
        with self.numerics.autocast():
            outputs = self.model(batch)
        total = outputs.nll_BT.new_zeros(())
        for task in self.tasks:
            for edge, (nats, weight) in task.objective.loss(outputs, batch).items():
                total = total + task.plan.weight * nats
                pair = torch.stack([nats.detach().double(), weight.detach().double()])
                name = (task.plan.name, edge)
                sums[name] = sums.get(name, torch.zeros_like(pair)) + pair
        if total.requires_grad:  # rows may carry no loss at all
            total.backward()
        return batch

    def _reduce(self, step: int, sums: Sums) -> tuple[ByEdge, ByEdge, float]:
        """Nats per token and weights by (task, edge), and the loss, over all ranks."""
        names = self._all_edges(sums)
        zero = torch.zeros(2, dtype=torch.float64, device=self.numerics.device)
        table_E2 = torch.stack([sums.get(name, zero) for name in names] or [zero])
        table = self.world.sum(table_E2).tolist()
        bad = [
            name for name, (nats, _) in zip(names, table, strict=False) if not math.isfinite(nats)
        ]
        if bad:
            named = ", ".join(f"{edge} ({task})" for task, edge in bad)
            raise TrainingError(
                f"the loss is not finite on {named}; the weights were not updated",
                where=f"step {step}",
                fix="resume with a lower optimizer.lr, or look at the data of that edge",
            )
        factors = {task.plan.name: task.plan.weight for task in self.tasks}
        loss = sum(factors[name[0]] * nats for name, (nats, _) in zip(names, table, strict=False))
        counted = {
            name: (nats, weight)
            for name, (nats, weight) in zip(names, table, strict=False)
            if weight > 0
        }
        edges = {name: nats / weight for name, (nats, weight) in counted.items()}
        weights = {name: weight for name, (_, weight) in counted.items()}
        return edges, weights, loss / max(sum(weights.values()), 1e-9)

    def _all_edges(self, sums: Sums) -> list[tuple[str, str]]:
        names = sorted(sums)
        if self.world.size == 1:
            return names
        gathered: list[list[tuple[str, str]]] = [[] for _ in range(self.world.size)]
        torch.distributed.all_gather_object(gathered, names)
        return sorted({name for part in gathered for name in part})

    def _scale_and_clip(self, step: int, count: float) -> float:
        """The one division by the global count, then the norm, then clipping."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if gradients:
            torch._foreach_div_(gradients, max(count, 1e-9))
        limit = self.clip_norm if self.clip_norm is not None else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if not math.isfinite(norm):
            bad = [
                name
                for name, p in self.model.named_parameters()
                if p.grad is not None and not bool(torch.isfinite(p.grad).all())
            ]
            raise TrainingError(
                f"the gradient of '{bad[0] if bad else '?'}' is not finite; the weights were not updated",
                where=f"step {step}",
                fix="resume with a lower optimizer.lr, or with train.precision=fp32",
            )
        return norm
