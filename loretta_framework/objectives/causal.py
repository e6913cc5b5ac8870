"""Causal modelling over the segments of a sample, in any order (commutative) or the declared one.

Loss of a row s with weights w: sum_i w_i (-log p(s_i given s_<i)) / sum_i w_i, the logits over the
ids that can occur at i. With order "any" both directions of every observed pair are learned:
LoReTTa's commutative modelling (arXiv 2305.14243). Departures: class ids are never targets; the
first segment, which nothing conditions, has its own weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loretta_framework.api.objectives import NextTokenLoss
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import CausalSettings
from loretta_framework.sequence.rows import Segment, TokenizedSample, TokenRow


def causal_segments(
    sample: TokenizedSample,
    context: ObjectiveContext,
    order: str,
    first_segment_weight: float,
) -> list[Segment]:
    """The sample's segments in the order drawn for it; its own order where that carries meaning."""
    parts = list(sample.parts)
    if order == "any" and not sample.ordered and len(parts) > 1:
        shuffle = context.random("order", sample).permutation(len(parts))
        parts = [parts[i] for i in shuffle]
    return [
        Segment(modality, content, first_segment_weight if i == 0 else 1.0)
        for i, (modality, content) in enumerate(parts)
    ]


class Causal(NextTokenLoss):
    """The objective `causal`; see the module's docstring."""

    def __init__(self, settings: CausalSettings, context: Any) -> None:
        super().__init__(context.task)
        self.settings = settings

    def sequences(
        self, samples: Sequence[TokenizedSample], context: ObjectiveContext
    ) -> list[TokenRow]:
        """One row a sample."""
        settings = self.settings
        return [
            context.row(
                causal_segments(sample, context, settings.order, settings.first_segment_weight),
                sample,
            )
            for sample in samples
        ]
