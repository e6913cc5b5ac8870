"""Which row of which set stands at a position: a pure function, so any restart is exact.

A stream is cut into blocks. Each block holds every set as often as its share asks, with remainders
carried from block to block, in an order drawn by the block's number. The n-th time a set is used,
it gives the n-th row of its endless run of epochs, each a permutation drawn by the epoch's number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np

from loretta_framework.api.errors import InputError
from loretta_framework.api.protocols import IntArray
from loretta_framework.api.random import generator

BLOCK = 256
"""Positions of a block; more when a share is so small that a block would not hold its set once."""

MAX_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class SetShare:
    """A set as the order sees it: name, number of rows, and its part of the positions."""

    name: str
    rows: int
    share: float


class Order:
    """The order of one stream.

    Args:
        sets: at least one, each with a positive share and at least one row.
        seed: the run's seed.
        stream: name of the consumer; two streams are independent.

    Raises:
        InputError: a set is empty or its share is not positive, or too small to be kept.
    """

    def __init__(self, sets: Sequence[SetShare], seed: int, stream: str) -> None:
        self.sets, self.seed, self.stream = tuple(sets), seed, stream
        for item in self.sets:
            if item.rows < 1 or not item.share > 0:
                raise InputError(
                    f"a set must have rows and a positive share, "
                    f"but has {item.rows} rows and share {item.share:g}",
                    where=f"data set '{item.name}'",
                    fix="leave the set out of the recipe",
                )
        total = sum(Fraction(item.share) for item in self.sets)
        self._shares = [Fraction(item.share) / total for item in self.sets]
        self.block = _block_length(self.sets, self._shares)
        self._caches = _Caches(self)

    def at(self, position: int) -> tuple[int, int, int]:
        """(set, row, epoch) at a position; `set` is an index into `sets`."""
        number, within = divmod(position, self.block)
        which_P, uses_P = self._caches.blocks(number)
        chosen, use = int(which_P[within]), int(uses_P[within])
        epoch, place = divmod(use, self.sets[chosen].rows)
        return chosen, int(self._caches.epochs(chosen, epoch)[place]), epoch

    def substitutes(self, position: int, count: int) -> IntArray:
        """Rows (count,) of the same set, to be tried in turn when the row at a position is bad."""
        rows = self.sets[self.at(position)[0]].rows
        draw = generator(self.seed, "order/substitute", self.stream, position)
        return draw.integers(rows, size=count, dtype=np.int64)

    def _draw_block(self, number: int) -> tuple[IntArray, IntArray]:
        """Arrays (block,): the set at each position, and how often it was used before."""
        before = _rounded(self._shares, number * self.block)
        after = _rounded(self._shares, (number + 1) * self.block)
        counts = [b - a for a, b in zip(before, after, strict=True)]
        which_P = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        which_P = generator(self.seed, "order/mix", self.stream, number).permutation(which_P)
        uses_P = np.empty_like(which_P)
        for index, first in enumerate(before):
            mask_P = which_P == index
            uses_P[mask_P] = first + np.arange(counts[index], dtype=np.int64)
        return which_P, uses_P

    def _draw_epoch(self, chosen: int, epoch: int) -> IntArray:
        item = self.sets[chosen]
        draw = generator(self.seed, "order/epoch", self.stream, item.name, epoch)
        return draw.permutation(item.rows)

    def __getstate__(self) -> tuple[tuple[SetShare, ...], int, str]:
        return self.sets, self.seed, self.stream  # what is cached is drawn again

    def __setstate__(self, state: tuple[tuple[SetShare, ...], int, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]


def sample_at(
    sets: Sequence[SetShare], seed: int, stream: str, position: int
) -> tuple[int, int, int]:
    """(set, row, epoch) at a position of a stream. `Order` keeps permutations between calls."""
    return Order(sets, seed, stream).at(position)


@dataclass(slots=True)
class _Caches:
    """Permutations in use. They depend on nothing but the order's key, so keeping them is safe."""

    order: Order
    blocks: Callable[[int], tuple[IntArray, IntArray]] = field(init=False)
    epochs: Callable[[int, int], IntArray] = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = lru_cache(maxsize=4)(self.order._draw_block)
        self.epochs = lru_cache(maxsize=2 * len(self.order.sets))(self.order._draw_epoch)


def _block_length(sets: Sequence[SetShare], shares: Sequence[Fraction]) -> int:
    # Rounded running totals never fall only if every block holds each set at least once.
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


def _rounded(shares: Sequence[Fraction], total: int) -> list[int]:
    """`total` split by shares: rounded down, the rest to the largest remainders, ties in order."""
    exact = [share * total for share in shares]
    counts = [int(value) for value in exact]
    rest = sorted(range(len(shares)), key=lambda i: (counts[i] - exact[i], i))
    for index in rest[: total - sum(counts)]:
        counts[index] += 1
    return counts
