"""The loss that all next-token objectives share: weighted negative log-likelihood by edge."""

from __future__ import annotations

from collections.abc import Mapping

from loretta_framework.api.protocols import EdgeLosses, IntArray, Outputs
from loretta_framework.sequence.batch import Batch


class NextTokenLoss:
    """Per-edge (sum of w x -log p(next token), sum of w) over the rows of one task.

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
