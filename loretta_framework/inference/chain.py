"""From a prompt along a path of modalities: hop by hop, several candidates at once.

N samples, C candidates of each, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from loretta_framework.api.errors import InputError
from loretta_framework.api.random import generator
from loretta_framework.generation.decode import Uniforms, generate
from loretta_framework.generation.guidance import Guidance, require_sources
from loretta_framework.generation.score import score_rows
from loretta_framework.inference.given import told
from loretta_framework.inference.wish import Wish
from loretta_framework.sequence.rows import Segment, build_row

if TYPE_CHECKING:
    from loretta_framework.inference.loaded import LoadedModel

Chain = list[Segment]
"""What was generated along the path."""


def walk(
    loaded: LoadedModel, prompt: Sequence[Segment], wish: Wish, num_samples: int
) -> list[Chain]:
    """The likeliest chain of each sample.

    Raises:
        InputError: guidance names what is no source.
    """
    keys = [(i, c) for i in range(num_samples) for c in range(wish.best_of)]
    chains: list[Chain] = [[] for _ in keys]
    hop_of = guided_hops(prompt, wish)
    for hop, target in enumerate(wish.path):
        prompts = [conditions(prompt, chain, wish) for chain in chains]
        length = loaded.plan.vocabulary[target].max_tokens
        uniforms_NT = np.stack([draws(wish, hop, i, c, length) for i, c in keys])
        made = generate(
            loaded.model,
            prompts,
            target,
            uniforms_NT,
            sampling=wish.sampling[target],
            guidance=hop_of[hop],
        )
        for chain, ids_T in zip(chains, made, strict=True):
            chain.append(Segment(target, ids_T))
    return _likeliest(loaded, prompt, wish, chains)


def draws(wish: Wish, hop: int, sample: int, candidate: int, length: int) -> Uniforms:
    """Numbers in [0, 1) of one segment; a function of what it is, whoever is generated with it."""
    more = (candidate, hop) if candidate or hop else ()
    return generator(wish.seed, "generate", wish.path[hop], sample, *more).random(length)


def conditions(prompt: Sequence[Segment], chain: Chain, wish: Wish) -> list[Segment]:
    """The segments that the next one of a chain is conditioned on."""
    if wish.keep_ancestors or not chain:
        return [*prompt, *chain]
    return [chain[-1]]


def guided_hops(prompt: Sequence[Segment], wish: Wish) -> list[Guidance | None]:
    """The guidance of each hop: weights by modality apply where the modality is a condition.

    Raises:
        InputError: a weight is of no condition at all, or the first hop has no condition.
    """
    modalities = [segment.modality for segment in prompt]
    found: list[Guidance | None] = []
    used: set[str] = set()
    for hop in range(len(wish.path)):
        before = wish.path[:hop]
        given = {*modalities, *before} if wish.keep_ancestors or not hop else {before[-1]}
        guidance = wish.guidance
        if isinstance(guidance, Mapping):
            guidance = {name: weight for name, weight in guidance.items() if name in given} or None
            used |= set(guidance or {})
        found.append(guidance)
    if isinstance(wish.guidance, Mapping):
        lost = sorted(set(wish.guidance) - used)
        if lost:
            raise InputError(
                f"guidance must name sources, but '{lost[0]}' is none",
                fix=f"the sources are {', '.join(modalities) or 'none'}",
            )
    elif wish.guidance is not None:
        with told():
            require_sources(wish.guidance, [prompt])
    return found


def _likeliest(
    loaded: LoadedModel, prompt: Sequence[Segment], wish: Wish, chains: list[Chain]
) -> list[Chain]:
    if wish.best_of == 1:
        return chains
    nats_NC = np.zeros(len(chains))
    for hop in range(len(wish.path)):
        rows = [
            build_row(
                loaded.model.vocabulary,
                [
                    *(
                        Segment(given.modality, given.content, 0.0)
                        for given in conditions(prompt, chain[:hop], wish)
                    ),
                    chain[hop],
                ],
            )
            for chain in chains
        ]
        nats_NC += [score.nats for score in score_rows(loaded.model, rows)]
    best_N = nats_NC.reshape(-1, wish.best_of).argmin(axis=1)
    return [chains[i * wish.best_of + int(c)] for i, c in enumerate(best_N)]
