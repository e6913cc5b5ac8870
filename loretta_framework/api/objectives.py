"""What an objective is handed, and the loss that next-token objectives share.

Importing it brings no torch. B rows, T tokens a row, V ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from loretta_framework.api.protocols import BuildContext, EdgeLosses, IntArray, Outputs
from loretta_framework.api.rows import Content, Segment, TokenizedSample, TokenRow

if TYPE_CHECKING:
    from torch import Tensor

    from loretta_framework.api.layout import SequenceLayout


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """One path of modalities along which to generate, each segment from the one before it.

    Attributes:
        start: real content of the first modality of the path.
        path: modalities, the start's first; at least two.
        key: names the draws: (purpose, sample key, position).
    """

    start: Content
    path: tuple[str, ...]
    key: tuple[str, str, int]


class Rollout(Protocol):
    """Generates segments without gradient."""

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
        """The last segment of each path, as int64 ids local to its modality.

        Args:
            requests: what to generate; the draws of each follow from its key alone.
            temperature: 1 samples the model's distribution, 0 takes the most likely id; or one for
                each modality, 1 for those that are not named.
            top_k: keep only the k most likely ids.
            use_average: generate with the moving average of the weights where the run keeps one.
            top_p: keep only the fewest most likely ids that have this probability together.
            min_p: keep only ids this many times as likely as the likeliest.

        Raises:
            ValueError: a number is out of its range.
        """


class ObjectiveBuildContext(BuildContext, Protocol):
    """What an objective's factory is given.

    Attributes:
        task: name of the task that the objective is built for; a recipe may use one kind twice.
    """

    task: str


class ObjectiveContext(Protocol):
    """What `Objective.sequences` is given."""

    @property
    def vocabulary(self) -> Any:
        """Id blocks: `vocabulary.modalities`, and `vocabulary[name]` with its ids and lengths."""

    @property
    def bridges(self) -> tuple[Any, ...]:
        """Missing pairs of modalities, each `bridge.pair` with its shortest `bridge.paths`."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def rollout(self) -> Rollout:
        """Generates segments without gradient; for objectives that declare `rollouts`."""

    @property
    def gain(self) -> Callable[[str], float | None]:
        """Part of the target's unconditional nats that an edge ("text->speech") saves so far.

        None before it was measured.
        """

    def random(self, purpose: str, sample: TokenizedSample) -> np.random.Generator:
        """The generator of this draw for this sample: the only source of randomness there is."""

    def row(self, segments: Sequence[Segment], sample: TokenizedSample) -> TokenRow:
        """Lay segments out as a row of this task.

        Raises `ValueError` when there are none, or tokens do not fit their modality.
        """


class Batch(Protocol):
    """What `Objective.loss` is given: rows of several tasks, padded or packed."""

    @property
    def layout(self) -> SequenceLayout:
        """Documents and positions."""

    @property
    def weights_BT(self) -> Tensor:  # noqa: N802  # a tensor's name carries its axes
        """float32 (B, T) loss weights of the targets; 0 at padding."""

    def edge_losses(self, nll_BT: Tensor, task: str) -> EdgeLosses:
        """Edge -> (sum of weight x nll, sum of weights) over the rows of `task`."""


class NextTokenLoss:
    """Per-edge (sum of w x -log p(next token), sum of w) over the rows of one task.

    Base class of objectives that only choose rows; it has no state.

    Args:
        task: name of the task whose rows count.
    """

    def __init__(self, task: str) -> None:
        self.task = task

    def loss(self, outputs: Outputs, batch: Batch) -> EdgeLosses:
        """See the class; nats."""
        return batch.edge_losses(outputs.nll_BT, self.task)

    def state(self) -> Mapping[str, IntArray]:
        """Nothing: every draw is a function of its key."""
        return {}

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """Nothing to take back."""
