"""The rows of one set, epoch after epoch, each a permutation that is drawn a window at a time.

A small set is one window: a full permutation. A larger one is read a few shards at a time: its
shards are permuted, their rows laid end to end, cut into windows, and each window is permuted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from loretta_framework.api.errors import InputError
from loretta_framework.api.protocols import IntArray
from loretta_framework.api.random import generator

_KEPT = 2
"""Windows and shard orders in memory: the one in use, and the one before it at an edge."""


@dataclass(frozen=True, slots=True)
class SetShare:
    """A set as the order sees it.

    Attributes:
        name: key of its draws.
        rows: number of usable rows.
        share: its part of the positions, before normalisation.
        boundaries: first row of each shard, ascending from 0; a shard without rows repeats one.
        max_epochs: passes it gives to a stream, None for no end.
    """

    name: str
    rows: int
    share: float
    boundaries: tuple[int, ...] = (0,)
    max_epochs: int | None = None


class Epochs:
    """The endless run of epochs of one set.

    Args:
        item: the set.
        seed: the run's seed.
        stream: name of the consumer.
        shuffle_rows: rows of a window.

    Raises:
        InputError: the shard boundaries do not ascend from 0 to the number of rows.
    """

    def __init__(self, item: SetShare, seed: int, stream: str, shuffle_rows: int) -> None:
        self.rows, self.whole = item.rows, item.rows <= shuffle_rows
        self._window = item.rows if self.whole else shuffle_rows
        self._key = (seed, stream, item.name)
        self._starts_P, self._lengths_P = _pieces(item, self._window)
        self._drawn: Callable[[int, int], IntArray] = lru_cache(_KEPT)(self._draw_window)
        self._shards: Callable[[int], tuple[IntArray, IntArray]] = lru_cache(_KEPT)(
            self._draw_shards
        )

    def at(self, use: int) -> tuple[int, int]:
        """(row, epoch) of a use, counted from 0."""
        epoch, place = divmod(use, self.rows)
        window, within = divmod(place, self._window)
        return int(self._drawn(epoch, window)[within]), epoch

    def take(self, first: int, stop: int) -> IntArray:
        """Rows (stop - first,) of consecutive uses."""
        parts = []
        while first < stop:
            epoch, place = divmod(first, self.rows)
            window, within = divmod(place, self._window)
            part = self._drawn(epoch, window)[within : within + stop - first]
            parts.append(part)
            first += len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _draw_window(self, epoch: int, window: int) -> IntArray:
        seed, stream, name = self._key
        if self.whole:
            return generator(seed, "order/epoch", stream, name, epoch).permutation(self.rows)
        draw = generator(seed, "order/window", stream, name, epoch, window)
        first = window * self._window
        return draw.permutation(self._laid_out(epoch, first, min(self.rows, first + self._window)))

    def _laid_out(self, epoch: int, first: int, stop: int) -> IntArray:
        """Rows at the places first..stop - 1 of the permuted shards laid end to end."""
        order_P, ends_P = self._shards(epoch)
        begin = int(np.searchsorted(ends_P, first, side="right"))
        end = int(np.searchsorted(ends_P, stop, side="left")) + 1
        chosen_Q = order_P[begin:end]
        stops_Q = np.minimum(ends_P[begin:end], stop)
        places_Q = ends_P[begin:end] - self._lengths_P[chosen_Q]  # of each piece's first row
        counts_Q = stops_Q - np.maximum(places_Q, first)
        shift_Q = self._starts_P[chosen_Q] - places_Q
        return np.repeat(shift_Q, counts_Q) + np.arange(first, stop, dtype=np.int64)

    def _draw_shards(self, epoch: int) -> tuple[IntArray, IntArray]:
        """Arrays (pieces,): their order in an epoch, and the place behind the last row of each."""
        seed, stream, name = self._key
        draw = generator(seed, "order/shards", stream, name, epoch)
        order_P = draw.permutation(len(self._starts_P))
        return order_P, np.cumsum(self._lengths_P[order_P])


def _pieces(item: SetShare, longest: int) -> tuple[IntArray, IntArray]:
    """First row and length, each (pieces,), of the shards; long ones are cut into near-equal parts.

    A cut that leaves a small rest would let a window gather such rests from many shards.
    """
    edges_S = np.array([*item.boundaries, item.rows], dtype=np.int64)
    lengths_S = np.diff(edges_S)
    if edges_S[0] != 0 or (lengths_S < 0).any():
        raise InputError(
            f"shard boundaries must ascend from 0 to {item.rows}, but do not",
            where=f"data set '{item.name}'",
            fix="give the first row of each shard, in order",
        )
    counts_S = -(-lengths_S // longest)
    number_P = np.arange(counts_S.sum()) - np.repeat(np.cumsum(counts_S) - counts_S, counts_S)
    count_P, length_P = np.repeat(counts_S, counts_S), np.repeat(lengths_S, counts_S)
    first_P, stop_P = (length_P * n_P // count_P for n_P in (number_P, number_P + 1))
    return np.repeat(edges_S[:-1], counts_S) + first_P, stop_P - first_P
