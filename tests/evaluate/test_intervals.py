"""Intervals: closed forms, coverage, and the edges where resampling shows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.random import generator
from loretta_framework.evaluate.intervals import bootstrap, mean, proportion, ratio


def draw(*parts: int) -> np.random.Generator:
    return generator(0, "test", *parts)


def test_an_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    values = draw().normal(3.0, 2.0, size=400)
    found = mean(values, draw(1))
    half = 1.96 * values.std(ddof=1) / 20
    assert found["value"] == pytest.approx(values.mean())
    assert found["interval"] == pytest.approx(
        [values.mean() - half, values.mean() + half], abs=0.05
    )


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    hits = 0
    for trial in range(200):
        low, high = mean(draw(2, trial).normal(size=60), draw(3, trial), 200)["interval"]
        hits += low <= 0.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_same_draw_gives_the_same_interval() -> None:
    values = list(range(20))
    assert mean(values, draw(4)) == mean(values, draw(4))
    assert mean(values, draw(4)) != mean(values, draw(5))


def test_a_ratio_weighs_units_by_their_size() -> None:
    found = ratio([10.0, 1.0], [10.0, 2.0], draw(6))
    assert found["value"] == pytest.approx(11 / 12)
    assert found["interval"][0] == pytest.approx(0.5)
    assert found["interval"][1] == pytest.approx(1.0)


@pytest.mark.parametrize(("value", "other"), [(1.0, 0), (0.0, 1)])
def test_twenty_hits_of_twenty_are_not_certainty(value: float, other: int) -> None:
    found = proportion([value] * 20, draw(7))
    bounds = found["interval"]
    assert found["value"] == bounds[1 - other] == value
    assert abs(bounds[other] - value) == pytest.approx(1 - 0.025 ** (1 / 20))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_proportion_lies_in_its_interval_in_the_unit_interval(values: list[float]) -> None:
    found = proportion(values, draw(8), 50)
    low, high = found["interval"]
    assert 0 <= low <= high <= 1
    assert found["value"] == pytest.approx(np.mean(values))


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one unit"):
        bootstrap(np.empty((0, 1)), lambda m: 0.0, draw(9))
