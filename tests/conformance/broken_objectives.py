"""Causal objectives, each broken in one way. Importable by name."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loretta_framework.api import (
    EdgeLosses,
    IntArray,
    NextTokenLoss,
    ObjectiveBuildContext,
    ObjectiveContext,
    ObjectiveSettings,
    Outputs,
    RolloutRequest,
    Segment,
    TaskSchedule,
    TokenizedSample,
    TokenRow,
)


class PlainSettings(ObjectiveSettings):
    """Nothing to set."""


class NeverStarts(ObjectiveSettings):
    def schedule(self) -> TaskSchedule:
        return TaskSchedule(start=2.0)


class Sound(NextTokenLoss):
    """Nothing is wrong with it: all parts in the sample's order."""

    weight = 1.0

    def __init__(self, settings: ObjectiveSettings, context: ObjectiveBuildContext) -> None:
        super().__init__(context.task)

    def sequences(
        self, samples: Sequence[TokenizedSample], context: ObjectiveContext
    ) -> list[TokenRow]:
        return [context.row(self.segments(sample, context), sample) for sample in samples]

    def segments(self, sample: TokenizedSample, context: ObjectiveContext) -> list[Segment]:
        return [Segment(name, ids, self.weight) for name, ids in sample.parts]


class PredictsClassIds(Sound):
    def sequences(self, samples: Sequence[Any], context: Any) -> list[TokenRow]:
        return [
            replace(row, weights_T=np.ones_like(row.weights_T), edges_T=np.zeros_like(row.edges_T))
            for row in super().sequences(samples, context)
        ]


class DrawsByItself(Sound):
    def segments(self, sample: TokenizedSample, context: ObjectiveContext) -> list[Segment]:
        segments = super().segments(sample, context)
        random.shuffle(segments)
        return segments


class LooksAtItsNeighbours(Sound):
    def sequences(self, samples: Sequence[Any], context: Any) -> list[TokenRow]:
        return super().sequences(samples[::-1], context)[::-1][: max(len(samples) - 1, 0)]


class WritesIntoSamples(Sound):
    def segments(self, sample: TokenizedSample, context: ObjectiveContext) -> list[Segment]:
        for _, ids in sample.parts:
            ids[0] = 0
        return super().segments(sample, context)


class LearnsNothing(Sound):
    weight = 0.0


class GeneratesInSecret(Sound):
    def segments(self, sample: TokenizedSample, context: ObjectiveContext) -> list[Segment]:
        name, ids = sample.parts[0]
        other = "text" if name != "text" else "image"
        key = (context.task, sample.key, sample.position)
        (made,) = context.rollout([RolloutRequest(ids, (name, other), key)], 1.0, None, False)
        return [Segment(other, made, 0.0), Segment(name, ids)]


class ForgetsItsState(Sound):
    """Every second sample loses its first segment, also across calls."""

    def __init__(self, settings: ObjectiveSettings, context: ObjectiveBuildContext) -> None:
        super().__init__(settings, context)
        self.count = 0

    def segments(self, sample: TokenizedSample, context: ObjectiveContext) -> list[Segment]:
        self.count += 1
        segments = super().segments(sample, context)
        return segments[self.count % 2 :] or segments

    def restore(self, state: Mapping[str, IntArray]) -> None:
        self.count = 0


class AddsALittle(Sound):
    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        edge = next(iter(losses), None)
        if edge is not None:
            nats, weight = losses[edge]
            losses[edge] = (nats + 0.5, weight)
        return losses


class ForgetsWeights(Sound):
    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        return {edge: (nats + outputs.nll_BT.mean(), n) for edge, (nats, n) in losses.items()}


class DividesByItsCount(Sound):
    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        weight = batch.weights_BT.sum()
        mean = (batch.weights_BT * outputs.nll_BT).sum() / weight
        return {"text->image": (mean, weight)}


class Averages(Sound):
    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        return {edge: (nats / weight, weight / weight) for edge, (nats, weight) in losses.items()}


class OneEdge(Sound):
    """Books all nats and weights on one edge: the totals are right."""

    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        nats, weights = zip(*losses.values(), strict=True)
        return {next(iter(losses)): (sum(nats), sum(weights))}


class Swaps(Sound):
    """Gives one edge's sums to another."""

    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        return dict(zip(losses, reversed(losses.values()), strict=True))


class Unbounded(Sound):
    """A loss of its own, which is not finite."""

    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        losses = super().loss(outputs, batch)
        return {edge: (nats / 0, weight) for edge, (nats, weight) in losses.items()}


class FromHidden(Sound):
    """A loss of its own, made of hidden states."""

    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        return batch.edge_losses(outputs.hidden_BTD.square().sum(-1), self.task)  # type: ignore[no-any-return]
