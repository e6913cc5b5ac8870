"""A small world for tests: three modalities, random samples, a tiny Transformer."""

from __future__ import annotations

import torch

from loretta_framework.api import random
from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.graph import ModalityGraph
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Segment, TokenizedSample
from loretta_framework.sequence.vocabulary import Vocabulary

SMALL_BOUNDS = {"image": Bounds(8, 4, 4), "text": Bounds(5, 1, 6), "speech": Bounds(7, 2, 9)}
"""One modality of fixed and two of variable length."""


def small_vocabulary() -> Vocabulary:
    """The vocabulary of `SMALL_BOUNDS`."""
    return Vocabulary.build(SMALL_BOUNDS)


def small_graph() -> ModalityGraph:
    """image-text and text-speech observed, image-speech missing."""
    observed = {frozenset(["image", "text"]): 10, frozenset(["text", "speech"]): 10}
    return ModalityGraph.from_combinations(SMALL_BOUNDS, observed)


def small_model(seed: int = 0, form: str = "sdpa", **settings: object) -> AnyToAny:
    """A Transformer of width 32 and depth 2 with weights large enough to be far from uniform."""
    chosen = TransformerSettings(**{"width": 32, "depth": 2, "heads": 4, **settings})  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AnyToAny(small_vocabulary(), Transformer(chosen, form))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def small_sample(position: int, *modalities: str) -> TokenizedSample:
    """Random tokens for the modalities given; a function of the position."""
    draw = random.generator(0, "small_sample", position)
    parts = []
    for name in modalities:
        bounds = SMALL_BOUNDS[name]
        count = int(draw.integers(bounds.min_tokens, bounds.max_tokens + 1))
        parts.append((name, draw.integers(0, bounds.vocab_size, size=count)))
    return TokenizedSample(f"set/{position}", tuple(parts), position)


def small_prompts(count: int, *modalities: str) -> list[list[Segment]]:
    """The segments of the first `count` samples of these modalities."""
    return [
        [Segment(*part) for part in small_sample(position, *modalities).parts]
        for position in range(count)
    ]
