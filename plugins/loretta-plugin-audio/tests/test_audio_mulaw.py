"""`audio.mulaw` through its public doors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from loretta_plugin_audio.mulaw import Mulaw
from loretta_plugin_audio.settings import MulawSettings

from loretta_framework.api import generator


@settings(max_examples=200, deadline=None)
@given(sample=st.floats(-1, 1, width=32), levels=st.sampled_from([2, 8, 255, 256, 1024]))
def test_a_sample_is_companded_by_the_formula(sample: float, levels: int) -> None:
    built = Mulaw(MulawSettings(levels=levels, min_tokens=1))
    (found,) = built.encode(np.array([sample], np.float32))
    mu = levels - 1
    squeezed = math.copysign(math.log1p(mu * abs(sample)) / math.log1p(mu), sample)
    assert abs(found - (squeezed + 1) / 2 * mu) <= 0.5 + 1e-9
    back = built.decode(np.array([found]))
    assert abs(
        math.copysign(math.log1p(mu * abs(back[0])), back[0]) / math.log1p(mu) - squeezed
    ) <= (1 / mu + 1e-6)


@pytest.mark.parametrize("levels", [2, 3, 16, 256, 65_536])
def test_every_id_stands_for_a_sample_of_its_own(levels: int) -> None:
    built = Mulaw(MulawSettings(levels=levels, max_tokens=65_536))
    ids = np.arange(levels)
    wave = built.decode(ids)
    assert wave.dtype == np.float32
    assert (np.diff(wave) > 0).all()
    assert (wave[0], wave[-1]) == (-1, 1)
    assert np.array_equal(built.encode(wave)[:levels], ids)


def test_quiet_sounds_have_finer_steps() -> None:
    built = Mulaw(MulawSettings())
    wave = built.decode(np.arange(256))
    steps = np.diff(wave)
    assert steps[127] < 1 / 4000
    assert steps[-1] > 1 / 50


def test_short_clips_end_in_silence() -> None:
    built = Mulaw(MulawSettings(min_tokens=20))
    ids = built.encode(np.full(5, 0.5, np.float32))
    assert len(ids) == 20
    assert (ids[5:] == 128).all()
    assert np.abs(built.decode(ids)[5:]).max() < 1e-4


def test_an_ulp_beyond_full_scale_is_full_scale() -> None:
    built = Mulaw(MulawSettings(min_tokens=1))
    assert built.encode(np.array([1.0005, -1.0005], np.float32)).tolist() == [255, 0]
    with pytest.raises(ValueError, match=r"must lie in -1\.\.1, but reaches 1\.1"):
        built.encode(np.array([1.1], np.float32))


def test_what_cannot_be_decoded_is_refused() -> None:
    built = Mulaw(MulawSettings())
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.255, but span 3\.\.256"):
        built.decode(np.array([3, 256]))
    with pytest.raises(ValueError, match="at least 1 tokens"):
        built.decode(np.zeros(0, np.int64))


def test_a_clip_is_heard_as_before() -> None:
    """Signal to quantisation noise of 8-bit mu-law: about 38 dB, at any level."""
    built = Mulaw(MulawSettings())
    for level in (0.5, 0.05, 0.01):
        wave = generator(0, "test/mulaw").normal(0, level / 3, 8000).clip(-1, 1).astype(np.float32)
        noise = built.decode(built.encode(wave)) - wave
        assert 10 * np.log10((wave**2).mean() / (noise**2).mean()) > 30
