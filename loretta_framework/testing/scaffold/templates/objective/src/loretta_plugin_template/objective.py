"""`template.one_direction`: log p(the others | the given), never the other way round.

Of a sample with parts g (given) and y, the row is [g, y], and the loss is

    -sum_i w(y_i) log p(y_i | g, y_<i)

It chooses the rows; the loss over them is `NextTokenLoss`, as for every next-token objective.
"""

from __future__ import annotations

from collections.abc import Sequence

from loretta_framework.api import (
    NextTokenLoss,
    ObjectiveBuildContext,
    ObjectiveContext,
    Segment,
    TokenizedSample,
    TokenRow,
    UserError,
)

from loretta_plugin_template.settings import OneDirectionSettings


class OneDirection(NextTokenLoss):
    """A `loretta_framework.api.Objective`. It is its own factory."""

    def __init__(self, settings: OneDirectionSettings, context: ObjectiveBuildContext) -> None:
        super().__init__(context.task)
        self.settings = settings

    def sequences(
        self, samples: Sequence[TokenizedSample], context: ObjectiveContext
    ) -> list[TokenRow]:
        """A row for each sample that has something to predict.

        Raises:
            UserError: the settings name a modality that the recipe lacks.
        """
        self._require_known(context.vocabulary.modalities)
        laid = [(sample, self._segments(sample)) for sample in samples]
        return [
            context.row(segments, sample)
            for sample, segments in laid
            if any(segment.weight > 0 for segment in segments)
        ]

    def _segments(self, sample: TokenizedSample) -> list[Segment]:
        given, weights = self.settings.given, self.settings.weights
        parts = list(sample.parts)
        if not sample.ordered:  # an order that came with the sample carries meaning
            parts.sort(key=lambda part: part[0] not in given)
        return [
            Segment(name, content, 0.0 if name in given else weights.get(name, 1.0))
            for name, content in parts
        ]

    def _require_known(self, modalities: Sequence[str]) -> None:
        named = [*self.settings.given, *self.settings.weights]
        unknown = [name for name in named if name not in modalities]
        if unknown:
            raise UserError(
                f"'given' and 'weights' must name modalities of the recipe, but name {unknown[0]!r}",
                where="settings of 'template.one_direction'",
                fix=f"one of: {', '.join(modalities)}",
            )
