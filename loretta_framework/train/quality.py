"""How good each edge is so far: running nats per token, and what a source saves its target."""

from __future__ import annotations

from collections.abc import Mapping

from loretta_framework.graph import Edge


class EdgeQuality:
    """Exponential averages of nats per token by edge, over real rows of training.

    Args:
        decay: weight of the past per observation.
    """

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = decay
        self._nats: dict[str, float] = {}

    def observe(self, nats: Mapping[str, float]) -> None:
        """Take in the nats per token that a step measured."""
        for edge, value in nats.items():
            past = self._nats.get(edge, value)
            self._nats[edge] = self.decay * past + (1 - self.decay) * value

    def gain(self, edge: str) -> float | None:
        """1 - nats(edge) / nats(-> target); None before both were seen.

        0 means the source tells nothing, 1 that the target is certain.
        """
        base = self._nats.get(str(Edge(frozenset(), Edge.parse(edge).target)))
        nats = self._nats.get(edge)
        if base is None or nats is None or base <= 0:
            return None
        return 1.0 - nats / base

    def state(self) -> dict[str, float]:
        """For the checkpoint."""
        return dict(self._nats)

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._nats = dict(state)
