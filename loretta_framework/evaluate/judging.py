"""One judge per modality: trained on real training data, itself judged on real test data.

N samples, C channels, H x W grid, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loretta_framework.api.protocols import FloatArray, IntArray, Judgeable
from loretta_framework.evaluate.context import EvaluationContext, value_of
from loretta_framework.evaluate.intervals import Figure, proportion
from loretta_framework.evaluate.judge import Judge, correct, train_judge
from loretta_framework.evaluate.selection import having, why_unusable
from loretta_framework.evaluate.settings import ClassConsistencySettings
from loretta_framework.evaluate.variance import Matrix


@dataclass(frozen=True, slots=True)
class Appointed:
    """A judge with what it is measured against.

    Attributes:
        judge: the classifier.
        figures: `judge_accuracy`, `judge_accuracy_round_trip`, `training_samples`, `classes`.
        real_ND: reduced features of the real test samples.
        real_labels: their classes.
        real_tokens: their ids.
    """

    judge: Judge
    figures: dict[str, Any]
    real_ND: Matrix
    real_labels: tuple[str, ...]
    real_tokens: tuple[IntArray, ...]


class Judges:
    """Appoints a judge per modality on first use, and remembers features by tokens."""

    def __init__(self, context: EvaluationContext, settings: ClassConsistencySettings) -> None:
        self.context, self.settings = context, settings
        self._appointed: dict[str, Appointed | str] = {}
        self._features: dict[tuple[str, bytes], FloatArray] = {}

    def of(self, modality: str) -> Appointed | str:
        """The modality's judge, or the reason why there can be none."""
        if modality not in self._appointed:
            self._appointed[modality] = self._appoint(modality)
        return self._appointed[modality]

    def report(self) -> dict[str, Any]:
        """The figures of each judge; a reason where there is none."""
        return {
            name: found.figures if isinstance(found, Appointed) else {"reason": found}
            for name, found in self._appointed.items()
        }

    def features(self, modality: str, tokens: Sequence[IntArray]) -> FloatArray:
        """float32 (N, C, H, W) of what the tokens decode to; equal tokens are decoded once."""
        component = self.context.model.tokenizers[modality]
        assert isinstance(component, Judgeable)
        found = []
        for ids_T in tokens:
            place = (modality, ids_T.tobytes())
            if place not in self._features:
                value = component.decode(ids_T)
                self._features[place] = np.asarray(component.features(value), np.float32)
            found.append(self._features[place])
        return np.stack(found)

    def _appoint(self, modality: str) -> Appointed | str:
        component = self.context.model.tokenizers[modality]
        if not isinstance(component, Judgeable):
            return f"'{modality}' offers no features to judge"
        reason = why_unusable(self.context.samples, modality)
        if reason is not None:
            return reason
        known = self.context.training(modality, self.settings.judge_samples)
        known = having(known, modality, labelled=True)
        labels = [sample.label or "" for sample in known]
        if len(set(labels)) < 2:
            return (
                f"the training samples of '{modality}' carry fewer than two classes; a judge learns "
                "from real training data alone: give the training sets a label"
            )
        values = [value_of(sample, modality) for sample in known]
        features = np.stack([np.asarray(component.features(v), np.float32) for v in values])
        keys = [sample.key for sample in known]
        judge = train_judge(
            features, labels, keys, self.context.seed, members=self.settings.judge_members
        )
        return self._examine(modality, component, judge)

    def _examine(self, modality: str, component: Judgeable, judge: Judge) -> Appointed:
        test = having(self.context.samples, modality, labelled=True)
        labels = tuple(sample.label or "" for sample in test)
        real = np.stack(
            [np.asarray(component.features(value_of(s, modality)), np.float32) for s in test]
        )
        tokens = tuple(np.asarray(sample.tokens.tokens(modality), np.int64) for sample in test)
        figures = {
            "judge_accuracy": self._accuracy(judge, real, labels, modality),
            "judge_accuracy_round_trip": self._accuracy(
                judge, self.features(modality, tokens), labels, modality
            ),
            "training_samples": len(judge.keys),
            "classes": list(judge.classes),
        }
        flat_ND = judge.reduce(real).flatten(1).numpy()
        return Appointed(judge, figures, flat_ND, labels, tokens)

    def _accuracy(
        self, judge: Judge, features: FloatArray, labels: Sequence[str], modality: str
    ) -> Figure:
        draw = self.context.draw("judge_accuracy", modality)
        right_N = correct(judge.classify(features), labels)
        return proportion(right_N, draw, self.settings.resamples)
