"""Transitive modelling: learn a given c where a and c never occurred together.

For a sample with real a (and usually a link b), a pseudo segment c~ is sampled from the model along
a bridge (`bridging`), and the row [c~, a] is trained with the loss on a alone:

    -log p(a given c~),   c~ ~ p(c given b), no gradient through c~

LoReTTa, arXiv 2305.14243. The optimum is sum_b p(a, b) p(c given b): equal to the true joint iff a
and c are independent given b. Every row of the decision table is a setting; the defaults are: pseudo
first and real last, the link dropped, temperature 1, loss weight 0 on pseudo tokens. A sample
without any walk, or whose links are held back, is trained as a causal row, so that the step keeps
its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loretta_framework.api.objectives import NextTokenLoss, RolloutRequest
from loretta_framework.api.protocols import IntArray
from loretta_framework.objectives.bridging import Walk, link_walks, walks
from loretta_framework.objectives.causal import causal_segments
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import TransitiveSettings
from loretta_framework.sequence.rows import Segment, TokenizedSample, TokenRow

Drawn = tuple[TokenizedSample, tuple[Walk, ...]]


class Transitive(NextTokenLoss):
    """The objective `transitive`; see the module's docstring."""

    def __init__(self, settings: TransitiveSettings, context: Any) -> None:
        super().__init__(context.task)
        self.settings = settings

    @property
    def average_decay(self) -> float | None:
        """Decay of the moving average of the weights it wants kept, None when it needs none."""
        return self.settings.average_decay if self.settings.generator == "average" else None

    def sequences(
        self, samples: Sequence[TokenizedSample], context: ObjectiveContext
    ) -> list[TokenRow]:
        """One row a sample. With `reuse_k` r, the first 1/r of the samples serve r times each."""
        if not samples:
            return []
        distinct = -(-len(samples) // self.settings.reuse_k)
        drawn = [(sample, self._draw(sample, context)) for sample in samples[:distinct]]
        pseudo = self._generate(drawn, context)
        rows = [self._row(*item, made, context) for item, made in zip(drawn, pseudo, strict=True)]
        return (rows * self.settings.reuse_k)[: len(samples)]

    def _draw(self, sample: TokenizedSample, context: ObjectiveContext) -> tuple[Walk, ...]:
        settings, present = self.settings, sample.modalities
        options: list[tuple[Walk, ...]] = [
            (walk,)
            for walk in walks(
                present,
                context.bridges,
                single_modality=settings.single_modality,
                max_hops=settings.max_hops,
                inputs=context.vocabulary.inputs,
            )
        ]
        if not options and settings.link_only:
            options = list(link_walks(present, context.bridges, context.vocabulary.inputs))
        options = [option for option in options if self._ready(option, context)]
        if not options:
            return ()
        return options[int(context.random("walk", sample).integers(len(options)))]

    def _ready(self, option: tuple[Walk, ...], context: ObjectiveContext) -> bool:
        least = self.settings.hold_until_gain
        if least is None:
            return True
        gains = [context.gain(link) for walk in option for link in walk.links]
        return all(gain is not None and gain >= least for gain in gains)

    def _generate(
        self, drawn: Sequence[Drawn], context: ObjectiveContext
    ) -> list[tuple[IntArray, ...]]:
        settings = self.settings
        requests = [
            RolloutRequest(
                sample.tokens(walk.path[0]), walk.path, (context.task, sample.key, sample.position)
            )
            for sample, chosen in drawn
            for walk in chosen
        ]
        made = iter(
            context.rollout(
                requests,
                settings.temperature,
                settings.top_k,
                settings.generator == "average",
                top_p=settings.top_p,
                min_p=settings.min_p,
            )
        )
        return [tuple(next(made) for _ in chosen) for _, chosen in drawn]

    def _row(
        self,
        sample: TokenizedSample,
        chosen: tuple[Walk, ...],
        made: tuple[IntArray, ...],
        context: ObjectiveContext,
    ) -> TokenRow:
        settings = self.settings
        if not chosen:
            segments = causal_segments(sample, context, "any", settings.first_segment_weight)
            return context.row(segments, sample)
        pseudo = [
            Segment(walk.pseudo, tokens, settings.pseudo_weight, generated=True)
            for walk, tokens in zip(chosen, made, strict=True)
        ]
        target = chosen[0].target
        if target is None:  # a lone link: nothing real is left to predict
            return context.row(self._shuffled(pseudo, [], sample, context), sample)
        draw = context.random("all_modalities", sample)
        if draw.random() < settings.all_modalities_probability:
            real = [Segment(name, tokens) for name, tokens in sample.parts]
            return context.row(self._shuffled(pseudo, real, sample, context), sample)
        real = [Segment(target, sample.tokens(target))]
        if settings.order == "any":
            return context.row(self._shuffled(pseudo, real, sample, context), sample)
        return context.row([*pseudo, *real], sample)

    def _shuffled(
        self,
        pseudo: list[Segment],
        real: list[Segment],
        sample: TokenizedSample,
        context: ObjectiveContext,
    ) -> list[Segment]:
        """All segments in a drawn order; a real one that comes first has nothing to go by."""
        segments = [*pseudo, *real]
        order = context.random("order", sample).permutation(len(segments))
        shuffled = [segments[i] for i in order]
        if order[0] >= len(pseudo):  # told by its place: a pseudo segment may weigh as much
            first = shuffled[0]
            shuffled[0] = Segment(first.modality, first.content, self.settings.first_segment_weight)
        return shuffled
