"""What the trainer hands an objective: keys for draws, rows, rollouts, link quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loretta_framework.api import random
from loretta_framework.api.objectives import Rollout
from loretta_framework.graph import Bridge
from loretta_framework.sequence.rows import Segment, TokenizedSample, TokenRow, build_row
from loretta_framework.sequence.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class ObjectiveContext:
    """Handed to `Objective.sequences`.

    Attributes:
        vocabulary: id blocks.
        bridges: missing pairs with their paths.
        seed: the run's seed.
        task: name of the task; part of every key, so that tasks never share a draw.
        rollout: generates pseudo segments without gradient.
        gain: part of the target's unconditional nats that an edge ("text->speech") saves so far,
            None before it was measured.
    """

    vocabulary: Vocabulary
    bridges: tuple[Bridge, ...]
    seed: int
    task: str
    rollout: Rollout
    gain: Callable[[str], float | None]

    def random(self, purpose: str, sample: TokenizedSample) -> np.random.Generator:
        """The generator of this draw for this sample; the same in any layout of ranks."""
        return random.generator(self.seed, f"{self.task}/{purpose}", sample.key, sample.position)

    def row(self, segments: Sequence[Segment], sample: TokenizedSample) -> TokenRow:
        """Lay segments out as a row of this task."""
        return build_row(self.vocabulary, segments, sample.key, self.task)
