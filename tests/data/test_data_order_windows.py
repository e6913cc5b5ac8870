"""Large sets are read a few shards at a time, and sets with `max_epochs` end exactly."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import InputError
from loretta_framework.data.order import Order, SetShare

shard_rows = st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any)


def sharded(lengths: list[int], **changes: Any) -> SetShare:
    boundaries = tuple(accumulate(lengths, initial=0))[:-1]
    fields: dict[str, Any] = {"name": "a", "share": 1.0, "boundaries": boundaries, **changes}
    return SetShare(rows=sum(lengths), **fields)


@settings(max_examples=60, deadline=None)
@given(shard_rows, st.integers(1, 50), st.integers(0, 5), st.integers(0, 10**6))
def test_every_epoch_holds_each_row_once(
    lengths: list[int], window: int, seed: int, epoch: int
) -> None:
    item = sharded(lengths)
    order = Order([item], seed, "causal", window)
    first = epoch * item.rows
    _, rows = order.rows(first, first + item.rows)
    assert sorted(rows.tolist()) == list(range(item.rows))
    assert {order.at(first + k)[2] for k in range(item.rows)} == {epoch}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(shard_rows, st.floats(0.1, 10), st.none() | st.integers(1, 40)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 50),
    st.integers(0, 3000),
    st.integers(0, 700),
)
def test_a_range_is_its_positions_one_by_one(
    sets: list[Any], window: int, first: int, count: int
) -> None:
    items = [
        sharded(lengths, name=f"set{i}", share=share, max_epochs=limit)
        for i, (lengths, share, limit) in enumerate(sets)
    ]
    order = Order(items, 1, "causal", window)
    if order.limit is not None:
        first, count = min(first, order.limit), min(count, order.limit - min(first, order.limit))
    which, rows = order.rows(first, first + count)
    fresh = Order(items, 1, "causal", window)
    assert list(zip(which.tolist(), rows.tolist(), strict=True)) == [
        fresh.at(position)[:2] for position in range(first, first + count)
    ]


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 20),
    count=st.integers(2, 60),
    window=st.integers(1, 80),
    start=st.integers(0, 2000),
    length=st.integers(1, 200),
)
def test_a_stretch_of_positions_touches_few_shards(
    size: int, count: int, window: int, start: int, length: int
) -> None:
    item = sharded([size] * count)
    _, rows = Order([item], 0, "causal", window).rows(start, start + length)
    touched = len(set((rows // size).tolist()))
    epochs = (start + length - 1) // item.rows - start // item.rows + 1
    piece = size // -(-size // window)  # a shard longer than a window is cut into near-equal parts
    # Whole windows around the stretch, one more at each epoch's end, and a piece cut at each end.
    most = (length // window + 2 * epochs) * window // piece + 2 * epochs
    assert touched <= min(count, most)


def test_windows_keep_shards_together_and_full_permutations_do_not() -> None:
    item = sharded([100] * 100)

    def shards_of(window: int) -> int:
        _, rows = Order([item], 0, "causal", window).rows(0, 200)
        return len(set((rows // 100).tolist()))

    assert shards_of(300) <= 5
    assert shards_of(10_000) > 60


def test_a_long_shard_is_cut_into_pieces() -> None:
    order = Order([sharded([1000])], 0, "causal", 100)
    _, rows = order.rows(0, 300)
    assert [len({row // 100 for row in rows[k : k + 100].tolist()}) for k in (0, 100, 200)] == [
        1
    ] * 3
    assert rows[:100].tolist() != sorted(rows[:100].tolist())
    assert len(set((rows // 100).tolist())) == 3


def test_epochs_streams_and_seeds_shuffle_shards_and_windows_anew() -> None:
    item = sharded([10] * 30)
    streams = [
        Order([item], seed, stream, 40).rows(first, first + 300)[1]
        for seed, stream, first in ((0, "a", 0), (0, "a", 300), (1, "a", 0), (0, "b", 0))
    ]
    assert len({tuple(rows.tolist()) for rows in streams}) == 4
    assert len({tuple(dict.fromkeys((rows // 10).tolist())) for rows in streams}) == 4


def test_a_set_of_a_hundred_million_rows_is_entered_anywhere_at_once() -> None:
    item = SetShare("a", 10**8, 1.0, tuple(range(0, 10**8, 10**4)))
    tracemalloc.start()
    try:
        order = Order([item], 0, "causal")
        for position in (0, 10**8 - 1, 10**8, 10**9, 10**12):
            chosen, row, epoch = order.at(position)
            assert (chosen, epoch) == (0, position // 10**8)
            assert 0 <= row < 10**8
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # a permutation of the whole set has 800 MB


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.floats(0.05, 10), st.integers(1, 6)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 3),
)
def test_limited_sets_give_every_row_just_so_often(
    sets: list[tuple[int, float, int]], seed: int
) -> None:
    items = [
        SetShare(f"set{i}", rows, share, max_epochs=limit)
        for i, (rows, share, limit) in enumerate(sets)
    ]
    order = Order(items, seed, "causal")
    assert order.limit == sum(rows * limit for rows, _, limit in sets)
    which, rows = order.rows(0, order.limit)
    seen = Counter(zip(which.tolist(), rows.tolist(), strict=True))
    assert seen == {
        (i, row): item.max_epochs for i, item in enumerate(items) for row in range(item.rows)
    }


def test_the_share_of_a_used_up_set_goes_to_the_others_in_proportion() -> None:
    items = [
        SetShare("short", 50, 0.5, max_epochs=2),
        SetShare("long", 1000, 0.3),
        SetShare("longer", 1000, 0.2),
    ]
    order = Order(items, 0, "causal")
    assert order.limit is None
    which, _ = order.rows(0, 10 * order.block)
    counts = np.bincount(which)
    assert counts[0] == 100
    # `short` ends after 200 positions, when the others have 60 and 40.
    rest = 10 * order.block - 200
    assert counts[1] == pytest.approx(60 + rest * 0.6, abs=1)
    assert counts[2] == pytest.approx(40 + rest * 0.4, abs=1)
    assert np.bincount(which[order.block :], minlength=3)[0] == 0


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    free = [SetShare("a", 300, 0.7), SetShare("b", 500, 0.3)]
    limited = [SetShare("a", 300, 0.7, max_epochs=10), SetShare("b", 500, 0.3)]
    one, other = (Order(sets, 4, "causal").rows(0, 2000) for sets in (free, limited))
    assert [a.tolist() for a in one] == [a.tolist() for a in other]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4000), st.none() | st.integers(1, 9))
def test_uses_before_a_position_are_counted_without_walking(
    position: int, limit: int | None
) -> None:
    items = [
        SetShare("a", 100, 0.6, max_epochs=limit),
        SetShare("b", 70, 0.3),
        SetShare("c", 9, 1e-3),
    ]
    order = Order(items, 0, "causal")
    which, _ = order.rows(0, position)
    assert order.used(position) == np.bincount(which, minlength=3).tolist()


def test_positions_outside_the_stream_are_refused() -> None:
    order = Order([SetShare("a", 5, 1.0, max_epochs=2)], 0, "causal")
    assert order.used(10) == [10]
    for ask in (lambda: order.at(10), lambda: order.rows(3, 11)):
        with pytest.raises(InputError, match=r"position 10 was asked for, but .* the sets give 10"):
            ask()
    with pytest.raises(InputError, match="must be 0 or more, but is -1"):
        order.at(-1)
    with pytest.raises(InputError, match=r"but .* give 10"):
        order.used(11)
