"""Segments become one row of ids with its targets. Numpy only.

Axes: T positions that predict, so a sequence of T + 1 ids has T inputs and T targets.

    [class_a a1 a2 end_a  class_b b1 b2 b3]        the class ids are inputs, never targets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.graph import Edge
from loretta_framework.sequence.groups import segment_group
from loretta_framework.sequence.vocabulary import PAD_ID, Block, Vocabulary


@dataclass(frozen=True, slots=True)
class Segment:
    """One modality's tokens in a sequence.

    Attributes:
        modality: recipe name.
        tokens_T: int64 ids local to the modality, without class and end.
        weight: factor on the loss of its tokens; 0 for what the model itself made up.
    """

    modality: str
    tokens_T: IntArray
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TokenizedSample:
    """A sample after its tokenizers ran. A modality that it lacks is simply not there.

    Attributes:
        key: "<set name>/<sample key>", unique among sets.
        parts: (modality, ids) in order; a modality may occur more than once.
        position: place in the objective's stream; with the key it names every draw.
        ordered: the order of parts was given by the sample and carries meaning.
        label: class name for evaluation, None when the set declares none.
    """

    key: str
    parts: tuple[tuple[str, IntArray], ...]
    position: int = 0
    ordered: bool = False
    label: str | None = None

    @property
    def modalities(self) -> frozenset[str]:
        """What it has."""
        return frozenset(name for name, _ in self.parts)

    def tokens(self, modality: str) -> IntArray:
        """The first part of that modality. Raises `KeyError` when it lacks it."""
        for name, ids in self.parts:
            if name == modality:
                return ids
        raise KeyError(modality)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A sequence ready for batching; all arrays (T,).

    Attributes:
        sample: key of the sample it came from.
        ids_T: inputs, global ids.
        places_T: row of the learned position-in-segment table.
        targets_T: next ids.
        weights_T: float32 loss weight of each target; 0 for class ids and pseudo tokens.
        groups_T: index into the id groups: which ids can occur at the target (`id_groups`).
        edges_T: index into `edges`, -1 where the weight is 0.
        edges: the directed edges of this row.
        objective: name of the task that made it.
    """

    sample: str
    ids_T: IntArray
    places_T: IntArray
    targets_T: IntArray
    weights_T: FloatArray
    groups_T: IntArray
    edges_T: IntArray
    edges: tuple[str, ...]
    objective: str = ""

    def __len__(self) -> int:
        return len(self.ids_T)


def segment_ids(block: Block, tokens_T: IntArray, closed: bool = True) -> IntArray:
    """Global ids of a segment: class id, content, and the end id when `closed` and it has one.

    Raises:
        ValueError: a token lies outside 0..vocab_size-1 or the length outside the bounds.
    """
    tokens_T = np.asarray(tokens_T, dtype=np.int64)
    if tokens_T.ndim != 1 or not len(tokens_T) <= block.max_tokens:
        raise ValueError(
            f"'{block.modality}' must have at most {block.max_tokens} tokens in one dimension, "
            f"but has shape {tokens_T.shape}"
        )
    if len(tokens_T) and not (tokens_T.min() >= 0 and tokens_T.max() < block.vocab_size):
        raise ValueError(
            f"tokens of '{block.modality}' must lie in 0..{block.vocab_size - 1}, "
            f"but lie in {tokens_T.min()}..{tokens_T.max()}"
        )
    end = [block.end_id] if closed and block.end_id is not None else []
    return np.concatenate([[block.class_id], tokens_T + block.content.start, end]).astype(np.int64)


def place_table(vocabulary: Vocabulary) -> dict[str, int]:
    """First row of each modality in the position-in-segment table; "" holds the table's length."""
    table, start = {}, 1  # row 0 serves padding and the reserved ids
    for block in vocabulary.blocks:
        table[block.modality] = start
        start += block.segment_length
    table[""] = start
    return table


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
    a prompt; then nothing is cut off and the last position's target is padding of weight 0.

    Raises:
        ValueError: there is nothing to lay out, or tokens do not fit their modality.
    """
    if not segments and open_target is None:
        raise ValueError("a sequence must have at least one segment")
    places = place_table(vocabulary)
    edges: list[str] = []
    seen: list[str] = []
    columns: list[Columns] = []
    for segment in segments:
        edge = -1
        if segment.weight > 0:
            name = str(Edge(frozenset(seen), segment.modality))
            edges += [] if name in edges else [name]
            edge = edges.index(name)
        columns.append(_columns(vocabulary, places, segment, edge))
        seen.append(segment.modality)
    if open_target is not None:
        columns.append(_open_segment(vocabulary, places, open_target))
    ids, place, weights, groups, edge_index = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    return TokenRow(
        sample=sample,
        ids_T=ids[:-1],
        places_T=place[:-1],
        targets_T=ids[1:],
        weights_T=weights[1:],
        groups_T=groups[1:],
        edges_T=edge_index[1:],
        edges=tuple(edges),
        objective=objective,
    )


def _columns(
    vocabulary: Vocabulary, places: dict[str, int], segment: Segment, edge: int
) -> Columns:
    ids_T = segment_ids(vocabulary[segment.modality], segment.tokens_T)
    count = len(ids_T)
    weights_T = np.full(count, segment.weight, dtype=np.float32)
    weights_T[0] = 0.0  # the class id is a prompt, not a prediction
    edges_T = np.where(weights_T > 0, edge, -1).astype(np.int64)
    groups_T = np.full(count, segment_group(vocabulary, segment.modality), dtype=np.int64)
    return ids_T, places[segment.modality] + np.arange(count), weights_T, groups_T, edges_T


def _open_segment(vocabulary: Vocabulary, places: dict[str, int], modality: str) -> Columns:
    """The class id of `modality`, and one ignored target so that every id stays an input."""
    ids_T = np.array([vocabulary[modality].class_id, PAD_ID], dtype=np.int64)
    places_T = np.array([places[modality], 0], dtype=np.int64)
    groups_T = np.full(2, segment_group(vocabulary, modality), dtype=np.int64)
    return ids_T, places_T, np.zeros(2, np.float32), groups_T, np.full(2, -1, np.int64)
