"""The grid: lengths, interpolation, means, gaps, strokes, and no silent cut."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from loretta_plugin_signals.levels import Levels, LevelsSettings

few = settings(max_examples=30, deadline=None)

SERIES = hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(-100, 100, width=32))


def levels(**settings: Any) -> Levels:
    return Levels(LevelsSettings(**({"channels": 1} | settings)))


@few
@given(SERIES, st.integers(2, 90), st.sampled_from(["mean", "linear"]))
def test_any_length_is_stretched_to_steps(series: Any, steps: int, resampling: str) -> None:
    value = levels(steps=steps, resampling=resampling).parse(series)
    assert value.shape == (steps, 1)
    assert series.min() - 1e-3 <= value.min()
    assert value.max() <= series.max() + 1e-3
    if resampling == "linear":
        ends = [series[0], series[-1]]
        np.testing.assert_allclose(value[[0, -1], 0], ends, atol=1e-4)


@few
@given(st.integers(1, 400), st.floats(5, 500), st.floats(5, 500))
def test_length_at_a_rate_is_the_duration(count: int, recorded: float, rate: float) -> None:
    modality = levels(rate=rate, seconds=200.0)
    value = modality.parse((np.zeros(count), recorded))
    assert abs(len(value) / rate - count / recorded) <= 0.5 / rate + 1e-9 or len(value) == 1


@few
@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=40),
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.sampled_from(["mean", "linear"]),
)
def test_irregular_times_of_a_line_give_a_line(
    gaps: list[float], start: float, slope: float, resampling: str
) -> None:
    times = 1000 + np.concatenate([[0], np.cumsum(gaps)])
    modality = levels(rate=4.0, seconds=50.0, time="t", resampling=resampling, max_gap=200)
    value = modality.parse({"t": times, "c0": start + slope * (times - 1000)})[:, 0]
    assert len(value) == int((times[-1] - times[0]) * 4 + 1e-6) + 1
    expected = start + slope * np.arange(len(value)) / 4
    edges = 2 if resampling == "mean" else 0  # a mean at an edge has one side only
    inside = slice(edges, len(value) - edges)
    np.testing.assert_allclose(value[inside], expected[inside], atol=1e-3)


def test_means_keep_fast_waves_from_becoming_slow_ones() -> None:
    wave = np.sin(np.arange(2000) * 2 * np.pi * 0.201)  # aliases to 1/100 when every 5th is taken
    averaged = levels(rate=100.0, seconds=9.0, source_rate=500.0).parse(wave)
    picked = levels(rate=100.0, seconds=9.0, source_rate=500.0, resampling="linear").parse(wave)
    assert np.abs(picked).max() > 0.9
    assert np.abs(averaged[2:-2]).max() < 0.1


@few
@given(SERIES, st.integers(1, 60))
def test_no_series_is_cut_silently(series: Any, longest: int) -> None:
    for grid in ({"longest": longest}, {"rate": 10.0, "seconds": longest / 10}):
        if len(series) > longest:
            with pytest.raises(ValueError, match=f"at most {longest} steps, but has {len(series)}"):
                levels(**grid).parse(series)
        cropped = levels(**grid, too_long="crop").parse(series)[:, 0]
        np.testing.assert_allclose(cropped, series[:longest], rtol=1e-6)


def test_encode_never_cuts_or_stretches() -> None:
    modality = levels(longest=4, too_long="crop")
    modality.fit([np.zeros((2, 1), dtype=np.float32)], 0)
    with pytest.raises(ValueError, match=r"must have 1..4 steps, but has 5"):
        modality.encode(np.zeros((5, 1), dtype=np.float32))


def test_a_short_series_is_held_only_when_asked() -> None:
    grid = {"rate": 10.0, "seconds": 0.5, "fixed": True}
    with pytest.raises(ValueError, match="must have 5 steps, but has 2; set too_short to hold"):
        levels(**grid).parse([1, 2])
    assert levels(**grid, too_short="hold").parse([1, 2])[:, 0].tolist() == [1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("times", "message"),
    [([0, 1, 1], "row 3 is not after"), ([0, None, 1], "must be finite"), ([2, 1, 0], "row 2")],
)
def test_times_must_ascend(times: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        levels(steps=4, time="t").parse({"t": times, "c0": [1, 2, 3]})


def test_endless_recordings_are_refused_before_they_fill_memory() -> None:
    with pytest.raises(ValueError, match="must have at most 10 steps"):
        levels(rate=10.0, seconds=1.0, time="t").parse({"t": [0, 1e308], "c0": [0, 1]})
    with pytest.raises(ValueError, match="must have at most 10 steps"):
        levels(rate=10.0, seconds=1.0).parse(([0, 1], 1e-300))


@few
@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 20))
def test_gaps_are_interpolated_up_to_the_limit(gap: int, allowed: int, before: int) -> None:
    line = np.arange(before + gap + 3, dtype=np.float64)
    holed = line.copy()
    holed[before : before + gap] = np.nan
    modality = levels(longest=50, max_gap=allowed)
    if gap <= allowed:
        np.testing.assert_allclose(modality.parse(holed)[:, 0], line)
    else:
        with pytest.raises(
            ValueError, match=f"at most {allowed} \\(setting max_gap\\).* are {gap}"
        ):
            modality.parse(holed)


def test_a_channel_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="channel 'c0' must hold a value, but all are missing"):
        levels(longest=9, max_gap=9).parse([None, None])


HOLE = {"t": [0, 0.1, 0.2, 15.0, 15.1], "c0": [1, 2, 3, 4, 5]}


def test_rows_that_the_time_column_leaps_over_are_missing() -> None:
    with pytest.raises(ValueError, match=r"at most 0 \(setting max_gap\), but are 14[78]") as error:
        levels(rate=10.0, seconds=20.0, time="t").parse(HOLE)
    assert "between rows 3 and 4, at 0.2 and 15 s from the start" in str(error.value)
    value = levels(rate=10.0, seconds=20.0, time="t", max_gap=148).parse(HOLE)
    assert len(value) == 152


def test_merely_uneven_times_and_the_pause_between_strokes_are_no_gap() -> None:
    uneven = {"t": [0, 0.1, 0.2, 0.55, 0.65], "c0": [1, 2, 3, 4, 5]}
    assert len(levels(rate=10.0, seconds=20.0, time="t").parse(uneven)) == 7
    settings = {"channels": ["x", "p"], "pen": "p", "time": "t", "steps": 8}
    pen = Levels(LevelsSettings.model_validate(settings))
    strokes = {"t": HOLE["t"], "x": HOLE["c0"], "p": [0, 0, 0, 1, 0]}
    assert len(pen.parse(strokes)) == 8
    with pytest.raises(ValueError, match="between rows 3 and 4"):
        pen.parse({**strokes, "p": [0, 1, 0, 0, 0]})


def test_gaps_at_the_ends_are_held() -> None:
    value = levels(longest=9, max_gap=1).parse([None, 2.0, 3.0, None])
    assert value[:, 0].tolist() == [2, 2, 3, 3]


@few
@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.integers(0, 3))
def test_strokes_stay_apart(lengths: list[int], finer: int) -> None:
    """Stroke n lies at x = 100 n: no step is between, and lifts are as many as before."""
    strokes = [[[100.0 * n, float(i)] for i in range(count)] for n, count in enumerate(lengths)]
    steps = sum(lengths) + finer * 10
    modality = levels(channels=["x", "y", "up"], pen="up", steps=steps)
    value = modality.parse(strokes)
    assert np.isin(value[:, 0], 100.0 * np.arange(len(lengths))).all()
    assert np.array_equal(np.flatnonzero(value[:, 2]), np.flatnonzero(np.diff(value[:, 0])) + 1)
    assert value[:, 2].sum() == len(lengths) - 1
