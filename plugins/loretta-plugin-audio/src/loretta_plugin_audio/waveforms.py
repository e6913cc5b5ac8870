"""What is done to a waveform before it is a value. Axes: S samples, C channels.

A waveform is float32 (S,), or (S, 2) for stereo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from loretta_framework.api import FloatArray

MAX_CHANNELS = 8

_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Channels:
    """What is wanted of a sound's channels.

    Attributes:
        count: 1 or 2.
        mono: "mean", "left" or "right": what makes one channel of several.
    """

    count: int = 1
    mono: str = "mean"


def take_channels(wave_SC: FloatArray, wanted: Channels) -> FloatArray:
    """(S, C) -> (S,) or (S, 2). A single channel is heard on the left and on the right.

    Raises:
        ValueError: two are wanted, and there are more.
    """
    channels = wave_SC.shape[1]
    if wanted.count == 2:
        if channels > 2:
            raise ValueError(
                f"it may have at most 2 channels where stereo is kept, but has {channels}"
            )
        return np.broadcast_to(wave_SC, (len(wave_SC), 2))
    if wanted.mono == "mean":
        mean_S: FloatArray = wave_SC.mean(axis=1)
        return mean_S
    return wave_SC[:, 0 if wanted.mono == "left" else min(1, channels - 1)]


def to_waveform(wave: Any, wanted: Channels) -> FloatArray:
    """(S,) or (S, C), float or int16, as float32 with the channels wanted.

    Raises:
        ValueError: another shape or type, no samples, or values that are not finite.
    """
    wave_S = np.asarray(wave)
    if wave_S.ndim not in (1, 2) or (wave_S.ndim == 2 and not 1 <= wave_S.shape[1] <= MAX_CHANNELS):
        raise ValueError(
            f"a waveform must be (samples,) or (samples, channels) with up to {MAX_CHANNELS} "
            f"channels, but is {wave_S.shape}"
        )
    if wave_S.dtype == np.int16:
        wave_S = wave_S.astype(np.float32) / np.float32(32_768)
    if not np.issubdtype(wave_S.dtype, np.floating):
        raise ValueError(f"a waveform must be float or int16, but is {wave_S.dtype}")
    if not wave_S.size:
        raise ValueError("a waveform must have at least 1 sample, but has none")
    with np.errstate(over="ignore"):
        wave_S = wave_S.astype(np.float32, copy=False)
    if not np.isfinite(wave_S).all():
        raise ValueError("a waveform must be finite, but holds NaN or infinite samples")
    if wave_S.ndim == 2 or wanted.count == 2:
        return np.ascontiguousarray(take_channels(wave_S.reshape(len(wave_S), -1), wanted))
    return wave_S


def resample(wave_S: FloatArray, rate: float, to: float) -> FloatArray:
    """The waveform at another rate.

    Raises:
        ValueError: it is so short that no sample is left.
    """
    if rate == to:
        return wave_S
    changed_S = np.asarray(soxr.resample(wave_S, rate, to), np.float32)
    if not changed_S.size:
        text = f"{len(wave_S)} samples at {rate:g} Hz are none at {to:g} Hz"
        raise ValueError(f"a waveform must have at least 1 sample, but {text}")
    return changed_S


def trim(wave_S: FloatArray, rate: int, below_db: float) -> FloatArray:
    """Without the ends that lie `below_db` below the loudest 10 ms. Silence is left as it is."""
    step = max(rate // 100, 1)
    blocks = -(-len(wave_S) // step)
    padded_S = pad(wave_S.astype(np.float64), 0, blocks * step - len(wave_S))
    power_N = (padded_S.reshape(blocks, -1) ** 2).mean(axis=1)
    if not power_N.max():
        return wave_S
    heard = np.flatnonzero(power_N > power_N.max() * 10 ** (-below_db / 10))
    return wave_S[heard[0] * step : (heard[-1] + 1) * step]


def set_level(wave_S: FloatArray, level: float) -> FloatArray:
    """Scaled to the root mean square `level`, or to less where the peak would leave -1..1.

    What has that level already is returned as it is: scaling it again would change last digits.
    """
    wide_S = wave_S.astype(np.float64)
    power, peak = float(np.sqrt((wide_S**2).mean())), float(np.abs(wide_S).max())
    if not power or abs(power - level) <= _SAME * level or (power < level and peak == 1):
        return wave_S
    scaled_S = wide_S * (level / power)
    return np.asarray(scaled_S / max(float(np.abs(scaled_S).max()), 1.0), np.float32)


def pad(wave_S: Any, before: int, after: int) -> Any:
    """The waveform with so many samples of silence at its ends."""
    return np.pad(wave_S, [(before, after)] + [(0, 0)] * (wave_S.ndim - 1))
