"""Checks that concern objectives: the sums they make of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import EdgeLosses
from loretta_framework.api.rows import TokenRow
from loretta_framework.sequence.batch import Batch
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.objective_world import (
    TASK,
    World,
    capabilities,
    laid,
    other_rows,
    outputs,
    samples,
)
from loretta_framework.testing.conformance.subject import Subject

BOUND = 1e-5
"""Relative; sums are float32 and have a few hundred terms."""


@check("objective")
def sums_add_to_the_total(subject: Subject) -> None:
    """Edge by edge its sums are sum(weight x nll) and sum(weight) of its own rows, no others.

    `loss` returns, for each edge, a sum and a count; the framework divides once, over all ranks. Use
    `batch.edge_losses(outputs.nll_BT, self.task)`: a batch holds rows of other tasks too. Never
    average, clip or log in `loss`. An objective whose loss is no weighted sum of the batch's nll
    declares `ObjectiveCapabilities(own_loss=True)`: of it, only edges and finiteness are checked here.
    """
    world = World(subject)
    rows = world.rows(samples())
    batch = laid([*rows, *other_rows()])
    made, nll_BT, _ = outputs(batch)
    losses = world.loss(made, batch)
    edges = {edge for row in rows for edge in row.edges}
    require(set(losses) <= edges, f"sums of edges that no row has: {sorted(set(losses) - edges)}")
    _require_scalars(losses)
    if capabilities(subject).own_loss:
        raise NotApplicable(
            "it declares a loss of its own: edges and finiteness alone were checked"
        )
    wanted = _by_hand(batch, nll_BT)
    for edge in sorted({*wanted, *losses}):
        figures = _figures(losses[edge]) if edge in losses else [0.0, 0.0]
        pairs = zip(figures, wanted.get(edge, (0.0, 0.0)), strict=True)
        for name, (value, right) in zip(("sum", "count"), pairs, strict=True):
            close = abs(value - right) <= BOUND * abs(right)
            require(close, f"the {name} of '{edge}' is {value:.6g}, but must be {right:.6g}")


def _by_hand(batch: Batch, nll_BT: Tensor) -> dict[str, tuple[float, float]]:
    """Edge -> (sum of weight x nll, sum of weights) of the task's own rows, position by position."""
    sums: dict[str, tuple[float, float]] = {}
    for edges_T, weights_T, nll_T in zip(
        batch.edges_BT.tolist(), batch.weights_BT.tolist(), nll_BT.tolist(), strict=True
    ):
        for number, weight, nll in zip(edges_T, weights_T, nll_T, strict=True):
            task, edge = batch.edges[number] if number >= 0 else ("", "")
            if task == TASK:
                nats, count = sums.get(edge, (0.0, 0.0))
                sums[edge] = (nats + weight * nll, count + weight)
    return sums


@check("objective")
def zero_weight_gives_no_gradient(subject: Subject) -> None:
    """Where a target's weight is 0, its nll has no effect on the sums: its gradient is exactly 0.

    Pseudo segments, class ids and padding have weight 0, and so have other tasks' rows here. Multiply
    by `batch.weights_BT` before you sum, and let no mean or norm run over all positions.
    """
    world = World(subject)
    batch = laid([*world.rows(samples()), *other_rows()])
    made, nll_BT, _ = outputs(batch)
    gradient_BT = _gradient(world.loss(made, batch), nll_BT)
    own_BT = _own(batch.edges_BT, [task == TASK for task, _ in batch.edges])
    silent_BT = (batch.weights_BT == 0) | ~own_BT
    most = float(gradient_BT[silent_BT].abs().max())
    require(most == 0, f"a target of weight 0, or of another task, has a gradient of {most:.3g}")


@check("objective")
def empty_edges_are_zero(subject: Subject) -> None:
    """A batch without rows of its own, or whose weights are all 0, gives finite sums of 0.

    On many ranks some batch lacks some edge. A sum over nothing is 0; dividing by a count of 0 makes
    a NaN that reaches every rank. Sums and counts are returned, never means.
    """
    world = World(subject)
    silent = [
        replace(row, weights_T=np.zeros_like(row.weights_T), edges_T=np.full_like(row.edges_T, -1))
        for row in world.rows(samples())
    ]
    for rows, what in ((other_rows(), "rows of its own"), (silent, "any weight")):
        batch = laid(rows)
        made, nll_BT, hidden_BTD = outputs(batch)
        losses = world.loss(made, batch)
        for edge, pair in losses.items():
            values = _figures(pair)
            require(
                values == [0, 0], f"'{edge}' has (sum, count) {values} in a batch without {what}"
            )
        for leaf in (nll_BT, hidden_BTD):
            clean = not bool(_gradient(losses, leaf).any())
            require(clean, f"a batch without {what} has a gradient that is not 0")


@check("objective")
def halves_add_to_the_whole(subject: Subject) -> None:
    """The sums of two half batches add up to those of the whole batch, edge by edge.

    Batches are split over ranks and micro-batches, and sums are added. So `loss` must be additive
    over rows: no mean over the batch, no negatives among its rows, no factor that depends on how many
    rows there are.
    """
    world = World(subject)
    rows = world.rows(samples())
    whole, halves = _sums(world, rows), [_sums(world, rows[::2]), _sums(world, rows[1::2])]
    for edge in sorted({*whole, *halves[0], *halves[1]}):
        for i, name in enumerate(("sum", "count")):
            parts = sum(half.get(edge, [0, 0])[i] for half in halves)
            value = whole.get(edge, [0, 0])[i]
            text = f"the {name} of '{edge}' is {value:.6g} for all rows, {parts:.6g} in two halves"
            require(abs(value - parts) <= BOUND * max(abs(value), 1e-6), text)


def _sums(world: World, rows: Sequence[TokenRow]) -> dict[str, list[float]]:
    batch = laid(rows)
    made, _, _ = outputs(batch)
    return {edge: _figures(pair) for edge, pair in world.loss(made, batch).items()}


def _own(edges_BT: Tensor, owned: Sequence[bool]) -> Tensor:
    """Bool (B, T): the position's edge is one that is owned."""
    return torch.tensor([*owned, False])[edges_BT]  # -1 picks the last


def _require_scalars(losses: EdgeLosses) -> None:
    for edge, pair in losses.items():
        shapes = [tuple(torch.as_tensor(value).shape) for value in pair]
        require(shapes == [(), ()], f"'{edge}' must have two scalars, but has shapes {shapes}")
        figures = _figures(pair)
        require(all(map(isfinite, figures)), f"'{edge}' has the sum and count {figures}")


def _figures(pair: Sequence[Tensor]) -> list[float]:
    return [float(value.detach()) for value in pair]


def _gradient(losses: EdgeLosses, leaf: Tensor) -> Tensor:
    """Of the sum over edges; zeros where it does not depend on the leaf."""
    total = sum((nats for nats, _ in losses.values()), start=torch.zeros(()))
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True, retain_graph=True)
    return torch.zeros_like(leaf) if gradient is None else gradient
