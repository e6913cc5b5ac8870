"""How many nats a test sample costs on every directed edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loretta_framework.data.values import ValueSample
from loretta_framework.evaluate.context import EvaluationContext, Findings, edge_name
from loretta_framework.evaluate.intervals import mean, ratio
from loretta_framework.evaluate.selection import (
    balanced,
    directed_pairs,
    having,
    impossible,
    why_not_predicted,
)
from loretta_framework.evaluate.settings import LikelihoodSettings
from loretta_framework.generation.score import score_rows
from loretta_framework.sequence.rows import Segment, TokenRow, build_row

METRICS = ("nats_per_sample", "nats_per_token")


class Likelihood:
    """`nats_per_sample` and `nats_per_token` of x -> y and of -> y, over all test samples.

    Where a sample has several instances of a modality, the first counts.
    """

    def __init__(self, settings: LikelihoodSettings, context: Any = None) -> None:
        self.settings = settings

    def evaluate(self, context: EvaluationContext) -> Findings:
        """Figures by directed edge; samples are the bootstrap's units."""
        samples = context.samples
        if self.settings.limit is not None:
            samples = tuple(balanced(samples, self.settings.limit, context.seed))
        pairs = directed_pairs(context.plan, samples)
        present = {name for sample in samples for name in sample.tokens.modalities}
        alone = [("", node.name) for node in context.plan.modalities if node.name in present]
        figures = {
            (source, target): self._edge(context, samples, source, target)
            for source, target in [*alone, *pairs]
        }
        return {"edges": {edge_name(*pair): found for pair, found in figures.items() if found}}

    def _edge(
        self, context: EvaluationContext, samples: Sequence[ValueSample], source: str, target: str
    ) -> dict[str, Any]:
        usable = having(samples, *filter(None, [source]), target)
        if not usable:
            return {}
        barred = why_not_predicted(context.plan, target)
        if barred is not None:
            return impossible(METRICS, barred)
        rows = [_row(context, sample, source, target) for sample in usable]
        scored = score_rows(context.model.model, rows)
        scores = [score for score in scored if score.tokens > 0]  # slots may leave none
        if not scores:
            reason = f"no test sample has a token of {target} that can be predicted"
            return impossible(METRICS, reason)
        nats = [score.nats for score in scores]
        tokens = [score.tokens for score in scores]
        count, name = self.settings.resamples, edge_name(source, target)
        return {
            "nats_per_sample": mean(nats, context.draw("nats_per_sample", name), count),
            "nats_per_token": ratio(nats, tokens, context.draw("nats_per_token", name), count),
        }


def _row(context: EvaluationContext, sample: ValueSample, source: str, target: str) -> TokenRow:
    given = [Segment(source, sample.tokens.tokens(source), 0.0)] if source else []
    segments = [*given, Segment(target, sample.tokens.tokens(target))]
    return build_row(context.plan.vocabulary, segments, sample.key)
