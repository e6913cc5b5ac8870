"""The loaded model: generate, score and embed, from values to values.

T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loretta_framework.api.protocols import FloatArray, Tokenizer
from loretta_framework.generation.decode import evaluating
from loretta_framework.generation.guidance import Guidance
from loretta_framework.generation.score import RowScore, score_rows
from loretta_framework.inference.chain import guided_hops, walk
from loretta_framework.inference.given import Given, require, require_predicted, segments_of
from loretta_framework.inference.streaming import Progress, stream
from loretta_framework.inference.wish import wish_of
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.recipe.plan import Plan
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Segment, build_row, segment_ids


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its tokenizers. Made by `load`.

    Attributes:
        plan: the run's plan.
        model: the torch module.
        tokenizers: modality -> tokenizer, fitted; a continuous modality's `Encoder`.
        extensions: modality -> file extensions that it reads, without the dot.
    """

    plan: Plan
    model: AnyToAny
    tokenizers: Mapping[str, Tokenizer]
    extensions: Mapping[str, tuple[str, ...]]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in the recipe's order."""
        return tuple(node.name for node in self.plan.modalities)

    def generate(
        self,
        sources: Given,
        to: str,
        num_samples: int = 1,
        temperature: float | Mapping[str, float] = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        *,
        top_p: float | None = None,
        min_p: float | None = None,
        guidance: Guidance | None = None,
        via: Sequence[str] = (),
        keep_ancestors: bool = False,
        return_ancestors: bool = False,
        best_of: int = 1,
    ) -> list[Any]:
        """Values of modality `to`, given the sources; none at all is allowed.

        Args:
            sources: see `Given`; their order is the order of the segments.
            to: the modality to generate.
            num_samples: how many. Sample i depends on the seed and i, not on how many there are.
            temperature: 1 samples the model's distribution, 0 takes the most likely tokens; one for
                all that is generated, or by modality, where one that is not named has 1.
            top_k: keep only the k most likely ids of each step.
            seed: another one gives other samples.
            top_p: then keep only the fewest most likely ids that have this probability together.
            min_p: then keep only ids this many times as likely as the likeliest.
            guidance: how much the sources count: 1 is plain, 0 ignores them, more exaggerates them.
                By modality, each is a condition of its own; see `generation.guidance`. Along `via`
                it holds at every hop where what it names is a condition.
            via: modalities to generate on the way, each conditioned on the one before alone, the
                first on the sources.
            keep_ancestors: condition each on the sources and all that was generated before it.
            return_ancestors: give each sample as all that was generated, [(modality, value), ...]
                in order, `to` last.
            best_of: candidates per sample; the one with the largest log p(candidate | sources), as
                `score` gives it in nats per sample (not per token), is given. Along `via` it is the
                sum over the hops.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or a number is out of range.
        """
        require(num_samples >= 1, f"num_samples must be 1 or more, but is {num_samples}")
        wish = wish_of(
            self, to, via=via, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            guidance=guidance, keep_ancestors=keep_ancestors, best_of=best_of, seed=seed,
        )  # fmt: skip
        made = [
            [(part.modality, self.tokenizers[part.modality].decode(part.content)) for part in chain]  # type: ignore[arg-type]
            for chain in walk(self, self.segments(sources), wish, num_samples)
        ]
        return list(made) if return_ancestors else [chain[-1][1] for chain in made]

    def stream(
        self,
        sources: Given,
        to: str,
        temperature: float | Mapping[str, float] = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        *,
        top_p: float | None = None,
        min_p: float | None = None,
        guidance: Guidance | None = None,
        via: Sequence[str] = (),
        keep_ancestors: bool = False,
        chunk: int = 8,
    ) -> Iterator[Progress]:
        """The first sample of `generate`, told while it is made; the last item has its value.

        Args:
            sources: as in `generate`, and so are all others.
            to: the modality to generate; what `via` names is made before the first item.
            temperature: see there.
            top_k: see there.
            seed: see there.
            top_p: see there.
            min_p: see there.
            guidance: see there.
            via: see there.
            keep_ancestors: see there.
            chunk: tokens between two items.

        Raises:
            InputError: as in `generate`, at the call.
        """
        require(chunk >= 1, f"chunk must be 1 or more, but is {chunk}")
        wish = wish_of(
            self, to, via=via, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            guidance=guidance, keep_ancestors=keep_ancestors, best_of=1, seed=seed,
        )  # fmt: skip
        prompt = self.segments(sources)
        guided_hops(prompt, wish)
        return stream(self, prompt, wish, chunk)

    def score(self, sources: Given, targets: Given) -> float:
        """log p(targets | sources) in nats per sample, at most 0; several targets follow in order.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or there is no target.
        """
        return -self.cost(sources, targets).nats

    def cost(self, sources: Given, targets: Given) -> RowScore:
        """What the targets cost given the sources: nats, and over how many tokens.

        Raises:
            InputError: as in `score`.
        """
        wanted = self.segments(targets)
        for segment in wanted:
            require_predicted(self, segment.modality)
        require(bool(wanted), "there must be at least one target")
        given = self.segments(sources, weight=0.0)
        row = build_row(self.model.vocabulary, [*given, *wanted])
        return score_rows(self.model, [row])[0]

    def embed(self, sources: Given) -> FloatArray:
        """float32 (D,), the mean of the backbone's outputs over the tokens of the last segment.

        The segments before it are its context.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or there is none.
        """
        segments = self.segments(sources)
        require(bool(segments), "there must be at least one value to embed")
        last = segments[-1].modality
        vocabulary = self.model.vocabulary
        start = sum(
            len(segment_ids(vocabulary[segment.modality], segment.content))
            for segment in segments[:-1]
        )
        # An open segment behind the last keeps all of its tokens inputs; what comes later has no
        # influence on what comes before.
        row = build_row(vocabulary, segments, open_target=last)
        with evaluating(self.model):
            batch = collate([row]).to(self.model.embedding.weight.device)
            hidden_TD = self.model(batch).hidden_BTD[0, start : len(row) - 1]
        mean_D: FloatArray = hidden_TD.float().mean(dim=0).cpu().numpy()
        return mean_D

    def segments(self, given: Given, weight: float = 1.0) -> list[Segment]:
        """Values as segments of tokens, in order.

        Raises:
            InputError: a modality is unknown or a value cannot be used.
        """
        return segments_of(self, given, weight)
