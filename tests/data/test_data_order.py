from __future__ import annotations

import pickle
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import InputError
from loretta_framework.data.order import Order, SetShare

FIXED = [(1, 5, 0), (1, 3, 0), (1, 1, 0), (0, 3982, 0), (0, 2813, 0), (1, 3, 107142857)]
FIXED_SUBSTITUTES = [787, 1598, 2112]

shares = st.lists(st.floats(0.1, 10), min_size=1, max_size=4)


def sets_of(weights: list[float], rows: int = 7) -> list[SetShare]:
    return [SetShare(f"set{i}", rows + i, weight) for i, weight in enumerate(weights)]


@settings(max_examples=40, deadline=None)
@given(shares, st.integers(1, 3), st.integers(0, 5))
def test_rates_are_exact_in_the_long_run(weights: list[float], blocks: int, seed: int) -> None:
    order = Order(sets_of(weights), seed, "causal")
    length = blocks * order.block
    counts = Counter(order.at(position)[0] for position in range(length))
    for index, weight in enumerate(weights):
        assert abs(counts[index] - length * weight / sum(weights)) < 1.001


@settings(max_examples=40, deadline=None)
@given(shares, st.integers(0, 5))
def test_each_row_comes_once_an_epoch(weights: list[float], seed: int) -> None:
    order = Order(sets_of(weights), seed, "causal")
    length = 2 * order.block
    seen = Counter(order.at(position) for position in range(length))
    assert max(seen.values()) == 1
    used = Counter(chosen for chosen, _, _ in seen)
    for chosen, count in used.items():
        rows = order.sets[chosen].rows
        for epoch in range(count // rows):
            assert {row for c, row, e in seen if (c, e) == (chosen, epoch)} == set(range(rows))


@settings(max_examples=30, deadline=None)
@given(
    shares,
    st.lists(st.integers(0, 100_000), min_size=2, max_size=20, unique=True),
    st.integers(0, 5),
)
def test_a_position_does_not_depend_on_what_was_asked_before(
    weights: list[float], positions: list[int], seed: int
) -> None:
    sets = sets_of(weights)
    order = Order(sets, seed, "causal")
    forward = [order.at(position) for position in positions]
    assert [order.at(position) for position in reversed(positions)] == forward[::-1]
    assert Order(sets, seed, "causal").at(positions[-1]) == forward[-1]


def test_seed_and_stream_and_epoch_change_the_order() -> None:
    sets = sets_of([1.0], rows=100)
    streams = [
        [Order(sets, seed, stream).at(position)[1] for position in range(start, start + 100)]
        for seed, stream, start in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 100))
    ]
    assert all(sorted(stream) == list(range(100)) for stream in streams)
    assert len({tuple(stream) for stream in streams}) == 4


def test_the_order_of_a_small_set_never_moves() -> None:
    """Written down once: another order would change the losses of every recipe."""
    order = Order([SetShare("captions", 5000, 0.25), SetShare("readings", 7, 0.75)], 3, "causal")
    assert [order.at(position) for position in (0, 1, 2, 255, 256, 10**9)] == FIXED
    assert order.substitutes(77, 3).tolist() == FIXED_SUBSTITUTES


def test_sets_are_mixed_within_a_block() -> None:
    order = Order(sets_of([1.0, 1.0]), 0, "causal")
    first = [order.at(position)[0] for position in range(32)]
    assert 6 <= sum(first) <= 26
    second = [order.at(256 + position)[0] for position in range(32)]
    assert first != second


def test_a_set_with_a_small_share_still_comes_at_its_rate() -> None:
    order = Order(sets_of([1.0, 0.001]), 0, "causal")
    counts = Counter(order.at(position)[0] for position in range(4 * order.block))
    assert abs(counts[1] - 4 * order.block * 0.001 / 1.001) < 1


def test_a_tiny_share_does_not_make_a_start_expensive() -> None:
    """A block of it has a million positions; memory stands for the time, of which it takes most."""
    sets = sets_of([1.0, 1e-6])
    for position in (0, 10**12):
        order = Order(sets, 0, "causal")
        assert order.block == 1 << 20
        tracemalloc.start()
        try:
            order.rows(position, position + 32)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20  # with numbers of eight bytes it was 41 MB


def test_an_order_survives_pickling() -> None:
    order = Order(sets_of([1.0, 2.0]), 3, "causal")
    expected = [order.at(position) for position in range(300)]
    copy = pickle.loads(pickle.dumps(order))
    assert [copy.at(position) for position in range(300)] == expected
    windowed = Order([SetShare("a", 90, 1.0, (0, 30, 60), 2)], 3, "causal", shuffle_rows=20)
    copy = pickle.loads(pickle.dumps(windowed))
    assert copy.rows(0, 180)[1].tolist() == windowed.rows(0, 180)[1].tolist()
    assert copy.limit == windowed.limit == 180


def test_substitutes_are_rows_of_the_same_set_and_depend_on_the_position() -> None:
    order = Order([SetShare("a", 50, 1.0)], 0, "causal")
    one, again, other = order.substitutes(7, 9), order.substitutes(7, 9), order.substitutes(8, 9)
    assert one.tolist() == again.tolist() != other.tolist()
    assert one.min() >= 0
    assert one.max() < 50


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([SetShare("a", 0, 1.0)], "must have rows and a positive share"),
        ([SetShare("a", 1, 0.0)], "must have rows and a positive share"),
        ([SetShare("a", 1, 1.0), SetShare("b", 1, 1e-9)], "at least one in"),
        ([SetShare("a", 9, 1.0, (0, 5, 3))], "must ascend from 0 to 9"),
        ([SetShare("a", 9, 1.0, (0, 10))], "must ascend from 0 to 9"),
        ([SetShare("a", 9, 1.0, (1, 5))], "must ascend from 0 to 9"),
    ],
)
def test_impossible_sets_are_refused(sets: list[SetShare], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Order(sets, 0, "causal")
    assert f"data set '{sets[-1].name}'" in str(caught.value)
