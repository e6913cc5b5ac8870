"""Which row of which set stands at a position: a pure function, so any restart is exact.

A stream is cut into blocks. Each block holds every set as often as its share asks, with remainders
carried from block to block, in an order drawn by the block's number. The n-th time a set is used,
it gives the n-th row of its endless run of epochs (`data.epochs`); a set that may be passed only so
often leaves its positions to the others once it is used up (`data.phases`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import InputError
from loretta_framework.api.protocols import IntArray
from loretta_framework.api.random import generator
from loretta_framework.data.epochs import Epochs, SetShare
from loretta_framework.data.phases import Phases

__all__ = ["Order", "SetShare"]

BLOCK = 256
"""Positions of a block; more when a share is so small that a block would not hold its set once."""

MAX_BLOCK = 1 << 20

SHUFFLE_ROWS = 65_536
"""Rows of a set that are shuffled together, unless told otherwise."""


class Order:
    """The order of one stream.

    Args:
        sets: at least one, each with a positive share and at least one row.
        seed: the run's seed.
        stream: name of the consumer; two streams are independent.
        shuffle_rows: a set with more rows is shuffled by shards and within windows of this many.

    Attributes:
        limit: positions there are; None when some set has no limit of epochs.

    Raises:
        InputError: a set is empty, its share is not positive or too small to be kept, or its shard
            boundaries do not ascend.
    """

    def __init__(
        self,
        sets: Sequence[SetShare],
        seed: int,
        stream: str,
        shuffle_rows: int = SHUFFLE_ROWS,
    ) -> None:
        self.sets, self.seed, self.stream = tuple(sets), seed, stream
        self.shuffle_rows = shuffle_rows
        for item in self.sets:
            _require_usable(item)
        total = sum(Fraction(item.share) for item in self.sets)
        shares = [Fraction(item.share) / total for item in self.sets]
        self.block = _block_length(self.sets, shares)
        self._phases = Phases(shares, [_uses(item) for item in self.sets])
        self.limit = self._phases.limit
        # The fewest bits that hold a set's number: numpy sorts 8 and 16 bits in linear time.
        self._narrow = np.min_scalar_type(len(self.sets))
        self._epochs = [Epochs(item, seed, stream, shuffle_rows) for item in self.sets]
        self._blocks: Callable[[int], NDArray[Any]] = lru_cache(2)(self._draw_block)

    def at(self, position: int) -> tuple[int, int, int]:
        """(set, row, epoch) at a position; `set` is an index into `sets`.

        Raises:
            InputError: the position lies behind `limit`.
        """
        self._require_within(position, position + 1)
        number, within = divmod(position, self.block)
        chosen = int(self._blocks(number)[within])
        row, epoch = self._epochs[chosen].at(self.used(position)[chosen])
        return chosen, row, epoch

    def rows(self, first: int, stop: int) -> tuple[IntArray, IntArray]:
        """Set and row, each (stop - first,), of the positions first..stop - 1: many `at` at once.

        Raises:
            InputError: a position lies behind `limit`.
        """
        if stop <= first:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        self._require_within(first, stop)
        which_N = self._sets(first, stop)
        # A set's uses within a range are consecutive: sorted by set they are a few slices.
        sorted_N = np.argsort(which_N, kind="stable")
        counts = np.bincount(which_N).tolist()
        parts = [
            self._epochs[chosen].take(use, use + count)
            for chosen, (use, count) in enumerate(zip(self.used(first), counts, strict=False))
            if count
        ]
        rows_N = np.empty(len(which_N), dtype=np.int64)
        rows_N[sorted_N] = np.concatenate(parts)
        return which_N.astype(np.int64), rows_N

    def used(self, position: int) -> list[int]:
        """How often each set stands before a position.

        Raises:
            InputError: the position lies behind `limit`.
        """
        self._require_within(position, position)
        number, within = divmod(position, self.block)
        counts = self._phases.used(number * self.block)
        if within:
            more = np.bincount(self._blocks(number)[:within], minlength=len(counts))
            counts = [count + extra for count, extra in zip(counts, more.tolist(), strict=True)]
        return counts

    def substitutes(self, position: int, count: int) -> IntArray:
        """Rows (count,) of the same set, to be tried in turn when the row at a position is bad."""
        rows = self.sets[self.at(position)[0]].rows
        draw = generator(self.seed, "order/substitute", self.stream, position)
        return draw.integers(rows, size=count, dtype=np.int64)

    def _sets(self, first: int, stop: int) -> NDArray[Any]:
        """The set at each position, (stop - first,)."""
        parts = []
        for number in range(first // self.block, (stop - 1) // self.block + 1):
            begin = number * self.block
            parts.append(self._blocks(number)[max(0, first - begin) : stop - begin])
        return np.concatenate(parts)

    def _draw_block(self, number: int) -> NDArray[Any]:
        """The sets (block,), shorter at the limit. One byte for each while there are few sets: a
        block may have a million positions, and a run that starts within one waits for its draw."""
        end = (number + 1) * self.block
        before = self._phases.used(number * self.block)
        after = self._phases.used(end if self.limit is None else min(end, self.limit))
        counts_S = np.array(after, dtype=np.int64) - np.array(before, dtype=np.int64)
        which_P = np.repeat(np.arange(len(counts_S), dtype=self._narrow), counts_S)
        generator(self.seed, "order/mix", self.stream, number).shuffle(which_P)
        return which_P

    def _require_within(self, first: int, stop: int) -> None:
        if self.limit is not None and stop > self.limit:
            raise InputError(
                f"position {stop - 1} was asked for, but with their max_epochs the sets give "
                f"{self.limit}",
                where=f"the stream '{self.stream}'",
                fix="train for fewer steps, or raise max_epochs of a data set",
            )
        if first < 0:
            raise InputError(
                f"a position must be 0 or more, but is {first}",
                where=f"the stream '{self.stream}'",
                fix="count positions from 0",
            )

    def __getstate__(self) -> tuple[tuple[SetShare, ...], int, str, int]:
        # What is cached is drawn again.
        return self.sets, self.seed, self.stream, self.shuffle_rows

    def __setstate__(self, state: tuple[tuple[SetShare, ...], int, str, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]


def _uses(item: SetShare) -> int | None:
    return None if item.max_epochs is None else item.max_epochs * item.rows


def _require_usable(item: SetShare) -> None:
    if item.rows < 1 or not item.share > 0:
        raise InputError(
            f"a set must have rows and a positive share, "
            f"but has {item.rows} rows and share {item.share:g}",
            where=f"data set '{item.name}'",
            fix="leave the set out of the recipe",
        )


def _block_length(sets: Sequence[SetShare], shares: Sequence[Fraction]) -> int:
    # Rounded running totals never fall only if every block holds each set at least once; shares
    # only grow when a set is used up.
    length = BLOCK
    while length * min(shares) < 1:
        length *= 2
        if length > MAX_BLOCK:
            smallest = sets[min(range(len(sets)), key=shares.__getitem__)]
            raise InputError(
                f"a share must be at least one in {MAX_BLOCK} of all, but is {smallest.share:g}",
                where=f"data set '{smallest.name}'",
                fix="raise its share, or leave it out",
            )
    return length
