"""Watch held-out likelihood while training: nats per token of each directed pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations

from loretta_framework.generation.score import score_rows
from loretta_framework.graph import Edge
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Segment, TokenizedSample, build_row


def validate(model: AnyToAny, samples: Sequence[TokenizedSample]) -> dict[str, float]:
    """Edge name -> nats per token over all samples that have both ends and a token to predict."""
    rows, edges = [], []
    for sample in samples:
        for source, target in permutations(sorted(sample.modalities), 2):
            if model.vocabulary[target].continuous:
                continue
            segments = [
                Segment(source, sample.tokens(source), 0.0),
                Segment(target, sample.tokens(target)),
            ]
            rows.append(build_row(model.vocabulary, segments, sample.key))
            edges.append(str(Edge(frozenset([source]), target)))
    nats: dict[str, float] = defaultdict(float)
    tokens: dict[str, float] = defaultdict(float)
    for edge, score in zip(edges, score_rows(model, rows), strict=True):
        nats[edge] += score.nats
        tokens[edge] += score.tokens
    return {edge: nats[edge] / tokens[edge] for edge in sorted(nats) if tokens[edge] > 0}
