"""Which rows share a line of a batch, and how long its lines are. Pure functions of lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loretta_framework.api.protocols import IntArray

MULTIPLE = 8
"""Bucketed lengths are multiples of this: matrix units work on tiles."""


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of indices, each bin's lengths summing to at most `capacity`.

    Longest first, each into the fullest bin that has room, so that large gaps stay for rows that
    need them. Ties keep their order, so the result is a pure function of the lengths.

    Rows of one length are placed together: the fullest bin that takes one takes as many as fit,
    since after each it is fuller still.

    Raises:
        ValueError: a length exceeds the capacity.
    """
    lengths_N = np.asarray(lengths)
    longest = int(lengths_N.max(initial=0))
    if longest > capacity:
        raise ValueError(f"a row of {longest} tokens does not fit a line of {capacity}")
    places, opened = _places(np.bincount(lengths_N), capacity)
    bins: list[list[int]] = [[] for _ in range(opened)]
    for index, place in zip(_longest_first(lengths_N, longest), places, strict=True):
        bins[place].append(index)
    return bins


EMPTY = 0.05
"""Part of all positions that may be empty before other lines are looked for."""
_MORE_LINES, _LENGTHS = 3, 64


def evened(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """`best_fit_decreasing`, but on shorter lines where they leave fewer positions empty.

    A batch is as wide as its longest line, so three lines of 1024 for 2100 tokens compute a third for
    nothing, though each is the fewest that hold them; three of 704 do not. Nothing is looked for
    where at most `EMPTY` is empty. Up to `_MORE_LINES` lines more are tried, at lengths a `_LENGTHS`th
    apart.

    Raises:
        ValueError: a length exceeds the capacity.
    """
    best = best_fit_decreasing(lengths, capacity)
    tokens, fewest = sum(lengths), len(best)
    slots = positions(lengths, best)
    for count in range(fewest, fewest + _MORE_LINES + 1):
        length = max(max(lengths, default=0), -(-tokens // count))
        while count * length < slots and tokens < (1 - EMPTY) * slots:
            lines = best_fit_decreasing(lengths, length)
            if len(lines) <= count:
                best, slots = lines, positions(lengths, lines)
                break
            length += max(1, length // _LENGTHS)
    return best


def positions(lengths: Sequence[int], lines: Sequence[Sequence[int]]) -> int:
    """Positions of a batch of these lines: each is as long as the longest."""
    return len(lines) * widest(lengths, lines)


def widest(lengths: Sequence[int], lines: Sequence[Sequence[int]]) -> int:
    """Tokens of the longest line."""
    return max((sum(lengths[i] for i in line) for line in lines), default=0)


def _places(counts: IntArray, capacity: int) -> tuple[list[int], int]:
    """The bin of each row in the order in which rows are placed, and the number of bins.

    Args:
        counts: how many rows have each length.
        capacity: of a bin.
    """
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit r is set when some bin has room r: the lowest one that fits is found at once
    opened = 0
    places: list[int] = []
    for length in np.flatnonzero(counts)[::-1].tolist():
        left = int(counts[length])
        while left:
            fitting = rooms >> length
            room = length + (fitting & -fitting).bit_length() - 1 if fitting else capacity
            each = min(left, room // length) if length else left
            wanted = left // each  # a last bin may take fewer, and is then looked for again
            if fitting:
                taken = by_room[room][: -wanted - 1 : -1]
                del by_room[room][-wanted:]
                if not by_room[room]:
                    rooms ^= 1 << room
            else:
                taken = list(range(opened, opened + wanted))
                opened += wanted
            places += taken if each == 1 else [place for place in taken for _ in range(each)]
            by_room[room - each * length] += taken
            rooms |= 1 << (room - each * length)
            left -= each * len(taken)
    return places, opened


def _longest_first(lengths_N: IntArray, longest: int) -> list[int]:
    """Indices by falling length; ties keep their order. Numbers of 16 bits are sorted by counting."""
    short = np.uint16 if longest < 2**16 else np.int64
    order: list[int] = (longest - lengths_N).astype(short).argsort(kind="stable").tolist()
    return order


def bucketed(length: int, top: int, buckets: int | None) -> int:
    """`length` rounded up to one of `buckets` evenly spaced lengths up to `top`.

    Compiled graphs and captured ones are made anew for each shape; few lengths make few of them.

    Args:
        length: tokens of the longest line.
        top: length that lines rarely exceed; above it whole steps of the ladder go on.
        buckets: number of lengths; None leaves `length` as it is.
    """
    if buckets is None:
        return length
    step = -(-top // buckets)
    step = -(-step // MULTIPLE) * MULTIPLE
    return -(-length // step) * step
