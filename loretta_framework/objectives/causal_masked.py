"""Causal masked modelling (CM3, arXiv 2201.07520): predict spans with what stands after them too.

k ~ Poisson(spans) spans of content are drawn, none crossing a segment. Each is replaced by a
sentinel and moved to the end of the row behind the same sentinel, closed by the end-of-infill id:

    [class_a a1 <s0> a4 end_a  class_b b1 b2 end_b  <s0> a2 a3 <end>]

Departures from the paper: sentinels are prompts, never targets (where a span was cut is noise that
a model should not learn to emit); moved tokens keep their place in the segment, so that the row can
be undone; the loss covers the body and the moved spans alike. Vectors of a continuous modality
are no content that moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.objectives import NextTokenLoss
from loretta_framework.api.protocols import IntArray
from loretta_framework.graph import Edge
from loretta_framework.objectives.causal import causal_segments
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import CausalMaskedSettings
from loretta_framework.sequence.groups import in_slots, infill_groups
from loretta_framework.sequence.rows import TokenizedSample, TokenRow, place_table
from loretta_framework.sequence.vocabulary import (
    INFILL_END_ID,
    NUM_SENTINELS,
    PAD_ID,
    SENTINELS_START,
    Vocabulary,
)

Span = tuple[int, int]
Columns = tuple[NDArray[Any], ...]


class CausalMasked(NextTokenLoss):
    """The objective `causal_masked`; see the module's docstring."""

    def __init__(self, settings: CausalMaskedSettings, context: Any) -> None:
        super().__init__(context.task)
        self.settings = settings

    def sequences(
        self, samples: Sequence[TokenizedSample], context: ObjectiveContext
    ) -> list[TokenRow]:
        """One row a sample; without spans the plain causal row."""
        settings = self.settings
        rows = []
        for sample in samples:
            segments = causal_segments(
                sample, context, settings.order, settings.first_segment_weight
            )
            row = context.row(segments, sample)
            draw = context.random("spans", sample)
            spans = draw_spans(draw, content_runs(row, context.vocabulary), settings.spans)
            rows.append(move_spans(row, spans, context.vocabulary))
        return rows


def _owner(vocabulary: Vocabulary, token: int) -> str | None:
    """The modality that has the id as a token; None for class, end, feature ids and specials."""
    inside = (b for b in vocabulary.blocks if token in b.content and not b.continuous)
    return next((block.modality for block in inside), None)


def content_runs(row: TokenRow, vocabulary: Vocabulary) -> list[Span]:
    """(start, stop) input positions of each run of content of one modality.

    The last id of a row is a target only; it is never inside a span.
    """
    runs: list[Span] = []
    start, current = 0, None
    for position, token in enumerate([*row.ids_T.tolist(), -1]):
        owner = _owner(vocabulary, token)
        if owner != current:
            if current is not None:
                runs.append((start, position))
            start, current = position, owner
    return runs


def draw_spans(draw: np.random.Generator, runs: Sequence[Span], mean: float) -> list[Span]:
    """Disjoint spans in order, each inside one run, with at least one position between two."""
    if not runs:
        return []
    count = min(int(draw.poisson(mean)), NUM_SENTINELS)
    taken: list[Span] = []
    for _ in range(count):
        start, stop = runs[int(draw.integers(len(runs)))]
        left, right = sorted(draw.integers(start, stop + 1, size=2).tolist())
        clear = all(right < a or left > b for a, b in taken)
        if left < right and clear:
            taken.append((left, right))
    return sorted(taken)


def move_spans(row: TokenRow, spans: Sequence[Span], vocabulary: Vocabulary) -> TokenRow:
    """Rearrange the row; the identity without spans."""
    if not spans:
        return row
    # Work on the whole sequence of ids, each with what it costs to predict it. The target behind a
    # continuous segment is none, and moved spans follow in its place.
    last = len(row) if row.targets_T[-1] == PAD_ID else None
    ids = np.append(row.ids_T, row.targets_T[-1])[:last]
    places = np.append(row.places_T, row.places_T[-1] + 1)[:last]
    weights = np.concatenate([[0.0], row.weights_T]).astype(np.float32)[:last]
    groups = np.concatenate([[0], row.groups_T])[:last]
    edges = np.concatenate([[-1], row.edges_T])[:last]
    names = list(row.edges)
    body: list[Columns] = []
    tail: list[Columns] = []
    present = set(row.ids_T.tolist())
    everything = frozenset(b.modality for b in vocabulary.blocks if b.class_id in present)
    cursor = 0
    columns = (ids, places, weights, groups, edges)
    for number, (left, right) in enumerate(spans):
        body.append(tuple(column[cursor:left] for column in columns))
        sentinel = _sentinel(number, int(places[left]))
        body.append(sentinel)
        owner = _owner(vocabulary, int(ids[left]))
        assert owner is not None
        edge = str(Edge(everything, owner))
        names += [] if edge in names else [edge]
        tail.append(sentinel)
        moved = ids[left:right], places[left:right]
        tail.append(_moved(vocabulary, owner, *moved, names.index(edge)))
        cursor = right
    body.append(tuple(column[cursor:] for column in columns))
    ids, places, weights, groups, edges = (
        np.concatenate(column) for column in zip(*body, *tail, strict=True)
    )
    return replace(
        row,
        ids_T=ids[:-1],
        places_T=places[:-1],
        targets_T=ids[1:],
        weights_T=weights[1:].astype(np.float32),
        groups_T=groups[1:],
        edges_T=edges[1:],
        edges=tuple(names),
    )


def _moved(
    vocabulary: Vocabulary, owner: str, ids_T: IntArray, places_T: IntArray, edge: int
) -> Columns:
    """A span with its end-of-infill id. What lies outside its slot is no target there either."""
    block = vocabulary[owner]
    first = int(places_T[0]) - place_table(vocabulary)[owner] - 1
    inside = in_slots(block, ids_T - block.content.start, first)
    weights = np.append(inside, True).astype(np.float32)
    return (
        np.append(ids_T, INFILL_END_ID),
        np.append(places_T, places_T[-1]),
        weights,
        infill_groups(vocabulary, owner)[first : first + len(weights)],
        np.where(weights > 0, edge, -1),
    )


def _sentinel(number: int, place: int) -> Columns:
    return (
        np.array([SENTINELS_START + number], np.int64),
        np.array([place], np.int64),
        np.zeros(1, np.float32),
        np.zeros(1, np.int64),
        np.full(1, -1, np.int64),
    )
