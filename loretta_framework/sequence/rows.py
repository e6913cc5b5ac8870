"""Segments become one row of ids with its targets. Numpy only.

Axes: T positions that predict, so a sequence of T + 1 ids has T inputs and T targets; N of them
with weight; G id groups of at most R ranges, each (start, stop).

    [class_a a1 a2 end_a  class_b b1 b2 b3]        the class ids are inputs, never targets
    [class_x x x x  class_b b1 b2 b3]              x: the places of a continuous modality's vectors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from loretta_framework.api.errors import PluginError
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.api.rows import (
    Content as Content,
    Segment as Segment,
    TokenizedSample as TokenizedSample,
    TokenRow as TokenRow,
)
from loretta_framework.graph import Edge
from loretta_framework.sequence.groups import group_ranges, in_slots, segment_groups, shared
from loretta_framework.sequence.vocabulary import PAD_ID, Block, Vocabulary

COLUMNS = ("ids_T", "places_T", "targets_T", "weights_T", "groups_T", "edges_T")
"""The fields of a row with an entry for each position."""


def segment_ids(block: Block, content: Content, closed: bool = True) -> IntArray:
    """Global ids of a segment: class id, content, and the end id when `closed` and it has one.

    Raises:
        ValueError: the content is of the wrong form, a token lies outside 0..vocab_size-1 or the
            length outside the bounds.
    """
    if (content.dtype.kind == "f") != block.continuous:
        wanted = "float features" if block.continuous else "integer tokens"
        raise ValueError(f"'{block.modality}' must be given as {wanted}, but is {content.dtype}")
    if block.continuous:
        return np.array([block.class_id, *[block.content.start] * block.max_tokens], np.int64)
    tokens_T = content.astype(np.int64)
    if tokens_T.ndim != 1 or not len(tokens_T) <= block.max_tokens:
        raise ValueError(
            f"'{block.modality}' must have at most {block.max_tokens} tokens in one dimension, "
            f"but has shape {tokens_T.shape}"
        )
    # Seen as unsigned, a negative one is too large as well.
    if len(tokens_T) and tokens_T.view(np.uint64).max() >= block.vocab_size:
        raise ValueError(
            f"tokens of '{block.modality}' must lie in 0..{block.vocab_size - 1}, "
            f"but lie in {tokens_T.min()}..{tokens_T.max()}"
        )
    end = block.end_id if closed else None
    ids_T = np.empty(len(tokens_T) + (1 if end is None else 2), np.int64)
    ids_T[0] = block.class_id
    np.add(tokens_T, block.content.start, out=ids_T[1 : len(tokens_T) + 1])
    if end is not None:
        ids_T[-1] = end
    return ids_T


@lru_cache(maxsize=64)
def place_table(vocabulary: Vocabulary) -> Mapping[str, int]:
    """First row of each modality in the position-in-segment table; "" holds the table's length."""
    table, start = {}, 1  # row 0 serves padding and the reserved ids
    for block in vocabulary.blocks:
        table[block.modality] = start
        start += block.segment_length
    table[""] = start
    return MappingProxyType(table)


Columns = tuple[IntArray, IntArray, FloatArray, IntArray, IntArray]
"""ids, places, weights, groups, edges of some positions, all (T,)."""


def build_row(
    vocabulary: Vocabulary,
    segments: Sequence[Segment],
    sample: str = "",
    objective: str = "",
    open_target: str | None = None,
) -> TokenRow:
    """Lay segments out as one row.

    With `open_target`, the class id of that modality follows as the last input, so that the row is
    a prompt; then nothing is cut off and the last position's target is padding of weight 0. So it
    is behind a continuous segment, all of whose vectors are inputs.

    Raises:
        ValueError: there is nothing to lay out, or tokens do not fit their modality.
    """
    if not segments and open_target is None:
        raise ValueError("a sequence must have at least one segment")
    columns, edges = _laid_out(vocabulary, segments)
    if open_target is not None:
        place = place_table(vocabulary)[open_target]
        columns.append(_without_weight(vocabulary[open_target].class_id, place))
    if open_target is not None or vocabulary[segments[-1].modality].continuous:
        columns.append(_without_weight(PAD_ID, 0))  # the last id is no input
    ids, places, weights, groups, edge_index = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    return TokenRow(
        sample=sample,
        ids_T=ids[:-1],
        places_T=places[:-1],
        targets_T=ids[1:],
        weights_T=weights[1:],
        groups_T=groups[1:],
        edges_T=edge_index[1:],
        edges=tuple(edges),
        objective=objective,
        features=_features(vocabulary, segments),
        generated=_generated(segments, columns, len(ids) - 1),
    )


def _generated(segments: Sequence[Segment], columns: Sequence[Columns], inputs: int) -> int:
    """Inputs that belong to generated segments; the very last id is none."""
    count = stop = 0
    for segment, (ids, *_) in zip(segments, columns, strict=False):
        start, stop = stop, stop + len(ids)
        if segment.generated:
            count += min(stop, inputs) - start
    return count


def _laid_out(
    vocabulary: Vocabulary, segments: Sequence[Segment]
) -> tuple[list[Columns], list[str]]:
    """The columns of each segment, and the edges to those that are predicted."""
    edges: list[str] = []
    seen: list[str] = []
    columns: list[Columns] = []
    for segment in segments:
        edge = -1
        if segment.weight > 0 and not vocabulary[segment.modality].continuous:
            name = str(Edge(frozenset(seen), segment.modality))
            edges += [] if name in edges else [name]
            edge = edges.index(name)
        columns.append(_columns(vocabulary, segment, edge))
        seen.append(segment.modality)
    return columns, edges


def _columns(vocabulary: Vocabulary, segment: Segment, edge: int) -> Columns:
    block = vocabulary[segment.modality]
    ids_T = segment_ids(block, segment.content)
    weight = segment.weight if edge >= 0 else 0.0
    places_T, weights_T, groups_T, edges_T = _fixed(
        vocabulary, block.modality, len(ids_T), weight, edge
    )
    if block.slots:
        inside_T = in_slots(block, ids_T[1:] - block.content.start)
        weights_T, edges_T = weights_T.copy(), edges_T.copy()
        weights_T[1:][~inside_T], edges_T[1:][~inside_T] = 0.0, -1
    return ids_T, places_T, weights_T, groups_T, edges_T


@lru_cache(maxsize=4096)
def _fixed(
    vocabulary: Vocabulary, modality: str, count: int, weight: float, edge: int
) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
    """Places, weights, groups and edges of a segment of `count` ids, whatever the ids are.

    Kept, since making them anew takes most of the time that a short row takes."""
    places_T = place_table(vocabulary)[modality] + np.arange(count)
    weights_T = np.full(count, weight, dtype=np.float32)
    weights_T[0] = 0.0  # the class id is a prompt, not a prediction
    edges_T = np.where(weights_T > 0, edge, -1).astype(np.int64)
    groups_T = segment_groups(vocabulary, modality)[np.maximum(np.arange(count) - 1, 0)]
    return shared(places_T), shared(weights_T), shared(groups_T), shared(edges_T)


def _features(
    vocabulary: Vocabulary, segments: Sequence[Segment]
) -> tuple[tuple[str, FloatArray], ...]:
    return tuple(
        (segment.modality, np.asarray(segment.content, dtype=np.float32))
        for segment in segments
        if vocabulary[segment.modality].continuous
    )


def require_fit(vocabulary: Vocabulary, row: TokenRow) -> None:
    """Check what the model takes on trust: vectors for each feature id, targets of their group.

    Raises:
        PluginError: names the objective that made the row, and the modality or the id.
    """
    given = [name for name, _ in row.features]
    for block in vocabulary.blocks if vocabulary.inputs else ():
        wanted = int((row.ids_T == block.content.start).sum()) if block.continuous else 0
        vectors = given.count(block.modality) * block.max_tokens
        if wanted != vectors:
            raise _misfit(
                row,
                f"must hold a vector for each of the {wanted} feature ids of "
                f"'{block.modality}', but holds {vectors}",
            )
    counts = row.weights_T > 0
    targets_N, groups_N = row.targets_T[counts], row.groups_T[counts]
    ranges_GR2 = group_ranges(vocabulary)
    if len(groups_N) and not 0 <= groups_N.min() <= groups_N.max() < len(ranges_GR2):
        raise _misfit(row, f"must have groups in 0..{len(ranges_GR2) - 1}, but has others")
    ranges_NR2, ids_N1 = ranges_GR2[groups_N], targets_N[:, None]
    inside_N = ((ids_N1 >= ranges_NR2[..., 0]) & (ids_N1 < ranges_NR2[..., 1])).any(axis=1)
    if not inside_N.all():
        place = int(np.argmin(inside_N))
        raise _misfit(
            row,
            f"must predict ids of their group, but predicts id {targets_N[place]} in group "
            f"{groups_N[place]}, which lacks it",
        )


def _misfit(row: TokenRow, text: str) -> PluginError:
    return PluginError(
        f"a row of the objective '{row.objective}' {text}",
        where=f"sample {row.sample!r}",
        fix="report it to the authors of the objective's plugin, or use another version of it",
    )


def _without_weight(token: int, place: int) -> Columns:
    ids, places, groups, edges = (np.array([n], dtype=np.int64) for n in (token, place, 0, -1))
    return ids, places, np.zeros(1, np.float32), groups, edges
