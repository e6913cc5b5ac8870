"""The small world in which the checks of objectives try them: modalities "image", "text", "speech".

image and speech never occur together, so that there is a bridge. B rows, T tokens a row.
"""

from __future__ import annotations

import random as python_random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from loretta_framework.api.objectives import RolloutRequest
from loretta_framework.api.protocols import EdgeLosses, Outputs
from loretta_framework.api.rows import Segment, TokenizedSample, TokenRow
from loretta_framework.api.specs import ObjectiveCapabilities
from loretta_framework.generation.rollout import rollout
from loretta_framework.generation.sampling import samplings
from loretta_framework.graph import Bridge
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.registry import Builder
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import build_row
from loretta_framework.testing.conformance.subject import SEED, Subject
from loretta_framework.testing.small_models import (
    small_graph,
    small_model,
    small_sample,
    small_vocabulary,
)
from loretta_framework.train.tasks import TaskBuilder

TASK, OTHER_TASK = "the task", "another task"
WIDTH = 4
"""Of the hidden states that are made up for the loss."""

_KINDS = (("image", "text"), ("text", "speech"), ("image",), ("speech",), ("text",))


class World:
    """One objective in the small world.

    Attributes:
        objective: a fresh instance.
        context: what its `sequences` is given.
        rollouts: how many segments it had generated so far.
    """

    def __init__(self, subject: Subject, bridges: bool = True) -> None:
        builder = TaskBuilder(Builder(subject.registry), TASK)
        self.objective: Any = subject.spec.build(subject.settings, builder)
        self.rollouts = 0
        found: tuple[Bridge, ...] = small_graph().bridges() if bridges else ()
        self.context = ObjectiveContext(
            small_vocabulary(), found, SEED, TASK, self._rollout, lambda edge: 1.0
        )

    def rows(self, samples: Sequence[TokenizedSample]) -> list[TokenRow]:
        """What the objective makes of samples."""
        return list(self.objective.sequences(samples, self.context))

    def loss(self, outputs: Outputs, batch: Batch) -> EdgeLosses:
        """Its sums."""
        losses: EdgeLosses = self.objective.loss(outputs, batch)
        return losses

    def _rollout(
        self,
        requests: Sequence[RolloutRequest],
        temperature: float | Mapping[str, float],
        top_k: int | None,
        use_average: bool,
        /,
        *,
        top_p: float | None = None,
        min_p: float | None = None,
    ) -> list[Any]:
        self.rollouts += len(requests)
        targets = {name for request in requests for name in request.path[1:]}
        sampling = samplings(targets, temperature, top_k, top_p, min_p)
        return rollout(_model(), requests, SEED, sampling=sampling)


def capabilities(subject: Subject) -> ObjectiveCapabilities:
    """What the objective declares."""
    declared = subject.spec.capabilities  # type: ignore[attr-defined]
    assert isinstance(declared, ObjectiveCapabilities)
    return declared


@lru_cache(maxsize=1)
def _model() -> AnyToAny:
    return small_model()


def samples(count: int = 24) -> list[TokenizedSample]:
    """Pairs, single modalities, one whose order has a meaning, and one with two texts."""
    made = [small_sample(i, *_KINDS[i % len(_KINDS)]) for i in range(count)]
    ordered = small_sample(count, "text", "image")
    made.append(TokenizedSample(ordered.key, ordered.parts, ordered.position, ordered=True))
    twice = small_sample(count + 1, "text", "image", "text")
    return [*made, TokenizedSample(twice.key, twice.parts, twice.position, ordered=True)]


def other_rows() -> list[TokenRow]:
    """Rows of another task in the same batch."""
    names = [("image", "text"), ("text", "speech")]
    return [
        build_row(
            small_vocabulary(),
            [Segment(name, ids) for name, ids in sample.parts],
            sample.key,
            OTHER_TASK,
        )
        for sample in (small_sample(100 + i, *pair) for i, pair in enumerate(names))
    ]


def outputs(batch: Batch) -> tuple[Outputs, torch.Tensor, torch.Tensor]:
    """Made-up outputs that depend on ids, targets and positions, and their leaves (nll, hidden).

    Other than a model's, nll is not 0 where the weight is 0: nothing may depend on it there.
    """
    mixed_BT = batch.ids_BT * 31 + batch.targets_BT * 17 + batch.layout.positions_BT * 7
    nll_BT = ((mixed_BT % 97).float() / 97 + 0.1).requires_grad_()
    steps_D = torch.arange(1, WIDTH + 1)
    hidden_BTD = (((mixed_BT[..., None] * steps_D) % 89).float() / 89).requires_grad_()
    return Outputs(nll_BT, hidden_BTD), nll_BT, hidden_BTD


def laid(rows: Sequence[TokenRow]) -> Batch:
    """Rows packed into a batch."""
    return collate(rows, "packed")


def disturb(seed: int) -> None:
    """Put the generators that nobody may draw from at some state."""
    python_random.seed(seed)
    np.random.seed(seed)  # the very generator that must not be used
    torch.manual_seed(seed)


def differing(one: Sequence[TokenRow], other: Sequence[TokenRow]) -> str:
    """What tells two lists of rows apart; "" when nothing does."""
    if len(one) != len(other):
        return f"{len(one)} rows and {len(other)}"
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        for name in ("sample", "edges", "objective"):
            if getattr(a, name) != getattr(b, name):
                return f"row {number} has {name} {getattr(a, name)!r} and {getattr(b, name)!r}"
        for name in ("ids_T", "places_T", "targets_T", "weights_T", "groups_T", "edges_T"):
            if not np.array_equal(getattr(a, name), getattr(b, name)):
                return f"row {number} (of sample {a.sample}) differs in {name}"
    return ""
