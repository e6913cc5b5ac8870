"""Which ids can occur at a position: the groups over which logits are computed.

Of M modalities, group i (0 <= i < M) is what follows in a segment of the i-th: its content and,
where the length varies, its end id. Group M + i is what follows in a moved span of it (causal
masking): its content and the end-of-infill id. A modality with slots has further groups behind
these: a pair for each distinct slot, and the end-of-infill id alone for what follows its last
place. Torch-free.

T places of the content, G groups of at most R ranges.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.protocols import IntArray
from loretta_framework.sequence.vocabulary import INFILL_END_ID, Block, Vocabulary

Number = TypeVar("Number", bound=np.generic)

IdGroup = tuple[range, ...]
"""Disjoint ranges of global ids; local indices count through them in order."""

_INFILL_END = range(INFILL_END_ID, INFILL_END_ID + 1)


def id_groups(vocabulary: Vocabulary) -> tuple[IdGroup, ...]:
    """All groups; see the module's docstring."""
    groups: list[IdGroup] = [(block.targets,) for block in vocabulary.blocks]
    groups += [(_INFILL_END, block.content[: block.vocab_size]) for block in vocabulary.blocks]
    for block in vocabulary.blocks:
        groups += _slot_groups(block)
    return tuple(groups)


@lru_cache(maxsize=64)
def group_ranges(vocabulary: Vocabulary) -> IntArray:
    """(G, R, 2) start and stop of the ranges of all groups; empty ones where a group has fewer."""
    groups = id_groups(vocabulary)
    ranges_GR2 = np.zeros((len(groups), max((len(g) for g in groups), default=1), 2), np.int64)
    for number, group in enumerate(groups):
        for place, ids in enumerate(group):
            ranges_GR2[number, place] = ids.start, ids.stop
    return shared(ranges_GR2)


@lru_cache(maxsize=64)
def segment_groups(vocabulary: Vocabulary, modality: str) -> IntArray:
    """(T + 1,) group of the target at each place of a segment of `modality`, then of its end id."""
    block = vocabulary[modality]
    own = vocabulary.modalities.index(modality)
    groups_T = np.full(block.max_tokens + 1, own, dtype=np.int64)
    if block.slots:
        groups_T[:-1] = _first_slot_group(vocabulary, block) + 2 * _slot_numbers(block)
    return shared(groups_T)


@lru_cache(maxsize=64)
def infill_groups(vocabulary: Vocabulary, modality: str) -> IntArray:
    """(T + 1,) group of the target at each place of a moved span of `modality`; the last one is for
    what follows a span that reached the end of the content."""
    block = vocabulary[modality]
    own = len(vocabulary.blocks) + vocabulary.modalities.index(modality)
    groups_T = np.full(block.max_tokens + 1, own, dtype=np.int64)
    if block.slots:
        first = _first_slot_group(vocabulary, block)
        groups_T[:-1] = first + 2 * _slot_numbers(block) + 1
        groups_T[-1] = first + len(_slot_groups(block)) - 1
    return shared(groups_T)


def in_slots(block: Block, tokens_T: IntArray, first: int = 0) -> NDArray[np.bool_]:
    """(T,) whether each local id can be predicted at its place; they stand at `first` and on."""
    if not block.slots:
        return np.ones(len(tokens_T), dtype=bool)
    starts_T, stops_T = _slot_ends(block.slots)[:, first : first + len(tokens_T)]
    inside_T: NDArray[np.bool_] = (tokens_T >= starts_T) & (tokens_T < stops_T)
    return inside_T


def _slot_groups(block: Block) -> list[IdGroup]:
    """Per distinct slot: it, and it with the end of infill; at last the end of infill alone."""
    groups: list[IdGroup] = []
    for slot in dict.fromkeys(block.slots):
        ids = range(block.content.start + slot.start, block.content.start + slot.stop)
        groups += [(ids,), (_INFILL_END, ids)]
    return [*groups, (_INFILL_END,)] if groups else []


def _first_slot_group(vocabulary: Vocabulary, block: Block) -> int:
    before = vocabulary.blocks[: vocabulary.blocks.index(block)]
    return 2 * len(vocabulary.blocks) + sum(len(_slot_groups(other)) for other in before)


def _slot_numbers(block: Block) -> IntArray:
    """(T,) which of the distinct slots each place has."""
    numbers = {slot: number for number, slot in enumerate(dict.fromkeys(block.slots))}
    return np.array([numbers[slot] for slot in block.slots], dtype=np.int64)


@lru_cache(maxsize=64)
def _slot_ends(slots: tuple[range, ...]) -> IntArray:
    return shared(np.array([[s.start for s in slots], [s.stop for s in slots]], dtype=np.int64))


def shared(array: NDArray[Number]) -> NDArray[Number]:
    """A cached array is everybody's: nobody may write into it."""
    array.flags.writeable = False
    return array
