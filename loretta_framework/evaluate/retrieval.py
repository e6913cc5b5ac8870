"""Retrieval by likelihood among class-balanced test samples.

S sources, G targets; both are the same samples seen from their two modalities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.evaluate.context import EvaluationContext, Findings, edge_name
from loretta_framework.evaluate.intervals import proportion
from loretta_framework.evaluate.pairs import likelihood_matrix
from loretta_framework.evaluate.selection import (
    balanced,
    directed_pairs,
    having,
    impossible,
    why_not_predicted,
    why_unusable,
)
from loretta_framework.evaluate.settings import RetrievalSettings

METRICS = ("retrieval_at_1", "target_ranking_at_1")


class Retrieval:
    """Class precision@1, where the score of a pair is log p(target | source).

    `retrieval_at_1` ranks sources: for each target, is the source under which it is most likely of
    its class? `target_ranking_at_1` ranks targets; it is dominated by p(target), the same for all
    sources, and stands here only to be compared.
    """

    def __init__(self, settings: RetrievalSettings, context: Any = None) -> None:
        self.settings = settings

    def evaluate(self, context: EvaluationContext) -> Findings:
        """Figures by directed edge; the ranked-for samples are the bootstrap's units."""
        pairs = directed_pairs(context.plan, context.samples, self.settings.edges)
        return {"edges": {edge_name(*pair): self._edge(context, *pair) for pair in pairs}}

    def _edge(self, context: EvaluationContext, source: str, target: str) -> dict[str, Any]:
        reason = why_not_predicted(context.plan, target)
        reason = reason or why_unusable(context.samples, source, target)
        if reason is not None:
            return impossible(METRICS, reason)
        usable = having(context.samples, source, target, labelled=True)
        chosen = balanced(usable, self.settings.candidates, context.seed)
        classes = np.array([sample.label for sample in chosen])
        scores_SG = likelihood_matrix(context.model.model, chosen, source, target)
        name, count = edge_name(source, target), self.settings.resamples
        by_source = classes[scores_SG.argmax(axis=0)] == classes
        by_target = classes[scores_SG.argmax(axis=1)] == classes
        return {
            "retrieval_at_1": proportion(by_source, context.draw("retrieval", name), count),
            "target_ranking_at_1": proportion(by_target, context.draw("ranking", name), count),
        }
