"""Which rows share a line of a batch, and how long its lines are. Pure functions of lengths."""

from __future__ import annotations

from collections.abc import Sequence

MULTIPLE = 8
"""Bucketed lengths are multiples of this: matrix units work on tiles."""


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of indices, each bin's lengths summing to at most `capacity`.

    Longest first, each into the fullest bin that has room, so that large gaps stay for rows that
    need them. Ties keep their order, so the result is a pure function of the lengths.

    Raises:
        ValueError: a length exceeds the capacity.
    """
    bins: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit r is set when some bin has room r: the lowest one that fits is found at once
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"a row of {length} tokens does not fit a line of {capacity}")
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            place = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, place = capacity, len(bins)
            bins.append([])
        bins[place].append(index)
        by_room[room - length].append(place)
        rooms |= 1 << (room - length)
    return bins


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
