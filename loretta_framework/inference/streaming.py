"""Generation as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loretta_framework.api.protocols import IntArray
from loretta_framework.generation.block import Draw
from loretta_framework.generation.decode import evaluating, start_decoding
from loretta_framework.generation.guidance import variants_of
from loretta_framework.generation.steps import steps_of
from loretta_framework.inference.chain import conditions, draws, guided_hops, walk
from loretta_framework.inference.wish import Wish
from loretta_framework.sequence.rows import Segment

if TYPE_CHECKING:
    from loretta_framework.inference.loaded import LoadedModel

UNFINISHED = "\ufffd"
"""What a decoder of text makes of a character whose last bytes are still to come."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What there is so far.

    Attributes:
        tokens: int64 (T,) ids local to the modality.
        value: of text, the text so far without a last character that may still change, so that it
            only grows; of other modalities None until `done`, then the value.
        done: whether this is all.
    """

    tokens: IntArray
    value: Any
    done: bool


def is_text(loaded: LoadedModel, modality: str) -> bool:
    """Whether its values are texts, of which a part is a value too."""
    return "txt" in loaded.extensions.get(modality, ())


def stream(
    loaded: LoadedModel, prompt: Sequence[Segment], wish: Wish, chunk: int
) -> Iterator[Progress]:
    """Progress after every `chunk` tokens of the last modality of the path; see `Wish`."""
    model, target = loaded.model, wish.path[-1]
    guidance = guided_hops(prompt, wish)[-1]
    before = wish.path[:-1]
    (chain,) = walk(loaded, prompt, replace(wish, path=before), 1) if before else ([],)
    steps = steps_of(model.vocabulary, target)
    draw = Draw(steps, wish.sampling[target], variants_of(guidance))
    uniforms_1T = draws(wish, len(before), 0, 0, len(steps))[None]
    given = conditions(prompt, chain, wish)
    # The mode and the gradients of the caller are his own between two pieces.
    with evaluating(model):
        decoding = start_decoding(model, [given], draw, uniforms_1T)
    while not decoding.finished:
        with evaluating(model):
            decoding.run(decoding.step + chunk)
        (tokens_T,) = decoding.tokens()
        yield Progress(
            tokens_T, _value(loaded, target, tokens_T, decoding.finished), decoding.finished
        )


def _value(loaded: LoadedModel, modality: str, tokens_T: IntArray, done: bool) -> Any:
    if done:
        return loaded.tokenizers[modality].decode(tokens_T)
    if not is_text(loaded, modality):
        return None
    if len(tokens_T) < loaded.plan.vocabulary[modality].min_tokens:
        return ""
    return loaded.tokenizers[modality].decode(tokens_T).rstrip(UNFINISHED)
