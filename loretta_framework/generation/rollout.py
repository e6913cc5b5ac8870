"""Batched rollouts: make the pseudo segments that a transitive step conditions on.

Each request walks a path of modalities hop by hop, every hop conditioned on the segment before it
alone. Requests are grouped by (link, target) so that the rows of a batch have like lengths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from loretta_framework.api import random
from loretta_framework.api.objectives import RolloutRequest as RolloutRequest
from loretta_framework.api.protocols import IntArray
from loretta_framework.generation.decode import PLAIN, generate
from loretta_framework.generation.sampling import Sampling
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Content, Segment


@dataclass(slots=True)
class RolloutCounters:
    """What was generated; for metrics and proofs.

    Attributes:
        segments: generated segments per "link->target".
        tokens: generated tokens per "link->target".
    """

    segments: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def rollout(
    model: AnyToAny,
    requests: Sequence[RolloutRequest],
    seed: int,
    *,
    sampling: Sampling | Mapping[str, Sampling] = PLAIN,
    counters: RolloutCounters | None = None,
    graphs: bool = True,
) -> list[IntArray]:
    """The last segment of each path, as ids local to its modality. No gradient is kept.

    Args:
        model: put into evaluation mode meanwhile.
        requests: what to generate.
        seed: with a request's key it decides its draws, whoever else is in the batch.
        sampling: one for all, or by the modality generated; others are sampled plainly.
        counters: told what was made.
        graphs: as in `decode.generate`.
    """
    current: list[Content] = [request.start for request in requests]
    for hop in range(max((len(request.path) for request in requests), default=1) - 1):
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            if hop + 1 < len(request.path):
                groups[request.path[hop], request.path[hop + 1]].append(index)
        for (link, target), members in groups.items():
            uniforms = _uniforms(model, [requests[i] for i in members], target, seed, hop)
            prompts = [[Segment(link, current[i])] for i in members]
            how = sampling if isinstance(sampling, Sampling) else sampling.get(target, PLAIN)
            made = generate(model, prompts, target, uniforms, sampling=how, graphs=graphs)
            for index, ids in zip(members, made, strict=True):
                current[index] = ids
            if counters is not None:
                counters.segments[f"{link}->{target}"] += len(made)
                counters.tokens[f"{link}->{target}"] += sum(len(ids) for ids in made)
    return cast("list[IntArray]", current)  # a path has a generated end


def _uniforms(
    model: AnyToAny, requests: Sequence[RolloutRequest], target: str, seed: int, hop: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    tokens = model.vocabulary[target].max_tokens
    return np.stack(
        [
            random.generator(seed, f"{request.key[0]}/tokens", hop, *request.key[1:]).random(tokens)
            for request in requests
        ]
    )
