"""Bins are full, whole and a pure function of the lengths; bucketed lengths are few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from loretta_framework.sequence.packing import (
    EMPTY,
    MULTIPLE,
    best_fit_decreasing,
    bucketed,
    evened,
    positions,
)

lengths = st.lists(st.integers(1, 20), min_size=1, max_size=40)


def slow(lengths: list[int], capacity: int) -> list[int]:
    """Sizes of the bins, by the definition of best fit: the fullest bin with room."""
    loads: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, load in enumerate(loads) if load + length <= capacity]
        if not fitting:
            loads.append(length)
        else:
            loads[max(fitting, key=lambda i: loads[i])] += length
    return sorted(loads)


@given(lengths, st.integers(20, 60))
def test_bins_are_those_of_best_fit_and_hold_everything_once(
    sizes: list[int], capacity: int
) -> None:
    bins = best_fit_decreasing(sizes, capacity)
    assert sorted(i for members in bins for i in members) == list(range(len(sizes)))
    assert sorted(sum(sizes[i] for i in members) for members in bins) == slow(sizes, capacity)
    assert best_fit_decreasing(list(sizes), capacity) == bins


def test_the_fullest_bin_is_taken() -> None:
    # 6 leaves a gap of 4, 7 one of 3. First fit would put the 3 beside the 6, and then 4 nowhere.
    assert best_fit_decreasing([6, 7, 3, 4], 10) == [[1, 2], [0, 3]]


def test_a_row_that_fits_no_line_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a row of 21 tokens does not fit a line of 20"):
        best_fit_decreasing([3, 21], 20)


@given(lengths, st.integers(20, 60))
def test_evened_lines_hold_everything_once_and_are_never_wider_in_all(
    sizes: list[int], capacity: int
) -> None:
    lines = evened(sizes, capacity)
    assert sorted(i for members in lines for i in members) == list(range(len(sizes)))
    assert max(sum(sizes[i] for i in members) for members in lines) <= capacity
    plain = best_fit_decreasing(sizes, capacity)
    assert positions(sizes, lines) <= positions(sizes, plain)
    if sum(sizes) >= (1 - EMPTY) * positions(sizes, plain):
        assert lines == plain


def test_few_rows_get_lines_of_a_length_that_leaves_little_empty() -> None:
    sizes = [512, 470, 300, 260, 200, 150, 120, 100, 21]  # 2133 tokens: three lines of up to 1024
    assert positions(sizes, best_fit_decreasing(sizes, 1024)) > 3000
    assert positions(sizes, evened(sizes, 1024)) <= 1.05 * 2133


def test_packing_wastes_little_where_padding_wastes_half() -> None:
    # Singles and pairs of image 64/196/256, text 3..128 and audio 32..300 tokens, rows of 512.
    random = np.random.default_rng(0)
    kinds = [
        lambda: int(random.choice([64, 196, 256])),
        lambda: int(random.integers(3, 129)),
        lambda: int(random.integers(32, 301)),
    ]
    sizes = [
        sum(kinds[k]() for k in random.permutation(3)[: random.integers(1, 3)]) for _ in range(1000)
    ]
    sizes = [min(size, 512) for size in sizes]
    lines = len(best_fit_decreasing(sizes, 512))
    assert sum(sizes) / (512 * lines) > 0.97
    assert sum(sizes) / (max(sizes) * len(sizes)) < 0.5


@given(st.integers(1, 3000), st.integers(8, 2000), st.integers(1, 16))
def test_bucketed_lengths_hold_the_row_and_are_few(length: int, top: int, buckets: int) -> None:
    found = bucketed(length, top, buckets)
    assert found >= length
    assert found % MULTIPLE == 0
    assert found - length < -(-top // buckets) + MULTIPLE
    assert len({bucketed(n, top, buckets) for n in range(1, top + 1)}) <= buckets
    assert bucketed(length, top, None) == length
