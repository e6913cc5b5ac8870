"""Properties of the choice of frames, on numbers alone."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from loretta_plugin_video.choosing import chosen
from loretta_plugin_video.settings import ClipSettings

RATES = st.sampled_from([1.0, 5.0, 7.5, 10.0, 23.976, 25.0, 29.97, 30.0, 60.0])


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    fps=RATES,
    wanted=st.integers(1, 60),
    crop=st.sampled_from(["start", "middle"]),
)
def test_each_frame_is_the_one_shown_at_its_time(
    lengths: list[int], fps: float, wanted: int, crop: str
) -> None:
    tick = Fraction(1, 1000)
    ticks = [sum(lengths[:number]) for number in range(len(lengths))]
    settings = ClipSettings(frames=wanted, fps=fps, crop=crop, too_long="crop", too_short="hold")
    found = chosen(ticks, sum(lengths), tick, settings)
    assert len(found) == wanted
    assert found == sorted(found)
    assert all(0 <= number < len(ticks) for number in found)
    if crop == "start":
        held = found[-1]
        for number, frame in enumerate(found):
            shown = bisect_right(ticks, number * 1000 / fps + 0.5 + 1e-9) - 1
            before = bisect_right(ticks, number * 1000 / fps + 0.5 - 1e-2) - 1
            assert before <= frame <= shown or frame == held


@given(count=st.integers(1, 200), every=st.integers(1, 9), wanted=st.integers(1, 40))
def test_strides_keep_their_distance(count: int, every: int, wanted: int) -> None:
    settings = ClipSettings(frames=wanted, every=every, too_long="crop", too_short="hold")
    found = chosen(range(count), count, Fraction(1, 10), settings)
    steps = {after - before for before, after in pairwise(found)}
    assert steps <= {every, 0}
    assert found[0] == 0


@given(rate=st.sampled_from([10, 12, 25, 30, 50, 60]), count=st.integers(1, 120))
def test_the_files_own_rate_takes_every_frame_also_from_rounded_times(
    rate: int, count: int
) -> None:
    ticks = [round(number * 1000 / rate) for number in range(count)]
    settings = ClipSettings(frames=count, fps=float(rate))
    total = round(count * 1000 / rate)
    assert chosen(ticks, total, Fraction(1, 1000), settings) == list(range(count))


def test_times_that_reach_further_than_the_header_are_refused_before_they_are_counted() -> None:
    # Two frames 30 years apart would stand for 3 * 10^10 at 30 a second.
    settings = ClipSettings(frames=4, fps=30.0, too_long="crop")
    with pytest.raises(ValueError, match=r"at most 600 s, but its frames last 1e\+09 s"):
        chosen([0, 10**12], 10**12, Fraction(1, 1000), settings)
