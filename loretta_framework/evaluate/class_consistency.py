"""Does a generation have the class of its source? Judged by a classifier of real data.

N generations, S sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loretta_framework.api.protocols import IntArray
from loretta_framework.evaluate.context import EvaluationContext, Findings, edge_name
from loretta_framework.evaluate.intervals import Figure, proportion
from loretta_framework.evaluate.judge import correct
from loretta_framework.evaluate.judging import Appointed, Judges
from loretta_framework.evaluate.selection import (
    balanced,
    directed_pairs,
    having,
    impossible,
    why_not_predicted,
    why_unusable,
)
from loretta_framework.evaluate.settings import ClassConsistencySettings
from loretta_framework.evaluate.variance import token_histograms, variance_ratio
from loretta_framework.generation.rollout import RolloutRequest, rollout
from loretta_framework.generation.sampling import Sampling
from loretta_framework.recipe.plan import Plan

METRICS = (
    "class_accuracy",
    "within_class_variance_ratio",
    "within_class_token_variance_ratio",
    "chained_class_accuracy",
)


@dataclass(frozen=True, slots=True)
class Generations:
    """What was generated for an edge.

    Attributes:
        tokens: ids of each generation.
        labels: class of each one's source.
        units_N: index of each one's source: generations of one source are not independent.
    """

    tokens: list[IntArray]
    labels: tuple[str, ...]
    units_N: IntArray


class ClassConsistency:
    """Class accuracy and within-class variance of generations, and of chained ones over a bridge.

    `within_class_variance_ratio`: variance of the judged features within a source's class, by that
    of real test samples; `within_class_token_variance_ratio`: the same of token histograms. Far
    below 1, the model repeats itself.
    """

    def __init__(self, settings: ClassConsistencySettings, context: Any = None) -> None:
        self.settings = settings

    def evaluate(self, context: EvaluationContext) -> Findings:
        """Figures by directed edge, and a section "judges"."""
        judges = Judges(context, self.settings)
        pairs = directed_pairs(context.plan, context.samples, self.settings.edges)
        edges = {edge_name(*pair): self._edge(context, judges, *pair) for pair in pairs}
        return {"edges": edges, "judges": judges.report()}

    def _edge(
        self, context: EvaluationContext, judges: Judges, source: str, target: str
    ) -> dict[str, Any]:
        chained = self.settings.chained_generations
        bridge = bridge_path(context.plan, source, target) if chained else None
        judge = why_not_predicted(context.plan, target) or judges.of(target)
        reason = judge if isinstance(judge, str) else why_unusable(context.samples, source)
        if reason is not None:
            asked = METRICS if bridge else METRICS[:-1]
            return impossible(asked, reason)
        assert isinstance(judge, Appointed)
        made = self._generate(context, (source, target), self.settings.generations)
        found = self._figures(context, judges, judge, made, edge_name(source, target), target)
        if bridge:
            hopped = self._generate(context, bridge, chained)
            draw = context.draw("chained_class_accuracy", *bridge)
            accuracy = self._accuracy(judges, judge, hopped, target, draw)
            found["chained_class_accuracy"] = {**accuracy, "path": list(bridge)}
        return found

    def _generate(
        self, context: EvaluationContext, path: tuple[str, ...], least: int
    ) -> Generations:
        usable = having(context.samples, path[0], labelled=True)
        copies = -(-least // len(usable))
        sources = balanced(usable, -(-least // copies), context.seed)
        requests = [
            RolloutRequest(
                sample.tokens.tokens(path[0]),
                path,
                (f"evaluate/{'->'.join(path)}", sample.key, copy),
            )
            for sample in sources
            for copy in range(copies)
        ]
        tokens = rollout(
            context.model.model,
            requests,
            context.seed,
            sampling=Sampling(self.settings.temperature),
        )
        labels = tuple(sample.label or "" for sample in sources for _ in range(copies))
        return Generations(tokens, labels, np.repeat(np.arange(len(sources)), copies))

    def _accuracy(
        self,
        judges: Judges,
        judge: Appointed,
        made: Generations,
        target: str,
        draw: np.random.Generator,
    ) -> Figure:
        verdicts = judge.judge.classify(judges.features(target, made.tokens))
        right_N = correct(verdicts, made.labels)
        # Sources have equally many generations, so that means of means are the mean.
        right_S = np.bincount(made.units_N, right_N) / np.bincount(made.units_N)
        return proportion(right_S, draw, self.settings.resamples)

    def _figures(
        self,
        context: EvaluationContext,
        judges: Judges,
        judge: Appointed,
        made: Generations,
        edge: str,
        target: str,
    ) -> dict[str, Any]:
        accuracy = self._accuracy(judges, judge, made, target, context.draw("class_accuracy", edge))
        made_classes_N = _indices(judge, made.labels)
        real_classes_N = _indices(judge, judge.real_labels)
        vocab_size = context.plan.vocabulary[target].vocab_size
        features_ND = judge.judge.reduce(judges.features(target, made.tokens)).flatten(1).numpy()
        pairs = {
            "within_class_variance_ratio": (features_ND, judge.real_ND),
            "within_class_token_variance_ratio": (
                token_histograms(made.tokens, vocab_size),
                token_histograms(judge.real_tokens, vocab_size),
            ),
        }
        found: dict[str, Any] = {"class_accuracy": accuracy}
        for metric, (made_ND, real_ND) in pairs.items():
            draw = context.draw(metric, edge)
            found[metric] = variance_ratio(
                made_ND, made_classes_N, made.units_N, real_ND, real_classes_N, draw
            )
            if found[metric] is None:
                found[f"{metric}_reason"] = "real test samples do not vary within their classes"
        return found


def bridge_path(plan: Plan, source: str, target: str) -> tuple[str, ...] | None:
    """The first shortest path from source to target of a missing pair on which all is generated but
    the source; None for other pairs."""
    for bridge in plan.bridges:
        if set(bridge.pair) == {source, target}:
            for path in bridge.paths:
                if plan.vocabulary.inputs.isdisjoint(path[1:-1]):
                    return path if path[0] == source else path[::-1]
    return None


def _indices(judge: Appointed, labels: Sequence[str]) -> IntArray:
    names = sorted({*judge.judge.classes, *judge.real_labels, *labels})
    return np.array([names.index(label) for label in labels], dtype=np.int64)
