"""With what the conformance kit tries each component. Axes: S samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.api import FloatArray, Trial
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.mulaw import companded
from loretta_plugin_audio.settings import MelCodesSettings, MfccBytesSettings, MulawSettings

_LEVELS = 64


def _clip(random: np.random.Generator, samples: int, number: int) -> FloatArray:
    """Silence, full-scale noise, a click, then tones in noise."""
    if number % 8 == 0:
        return np.zeros(samples, np.float32)
    if number % 8 == 1:
        return np.asarray(random.uniform(-1, 1, samples), np.float32)
    if number % 8 == 2:
        click_S = np.zeros(samples, np.float32)
        click_S[samples // 2] = 1
        return click_S
    turns_S = np.arange(samples) * random.uniform(0.02, 1.5)
    level = random.uniform(0.001, 0.8)
    noise_S = random.normal(0, 0.05, samples)
    return np.asarray((level * (np.sin(turns_S) + noise_S)).clip(-1, 1), np.float32)


def _lengths(random: np.random.Generator, count: int, most: int) -> list[int]:
    """The shortest, the longest, then any."""
    return [1, most, *(int(n) for n in random.integers(1, most + 1, max(count, 2)))][:count]


def _mel_clips(settings: MelCodesSettings, random: np.random.Generator, count: int) -> list[Any]:
    most, parse = settings.max_tokens * settings.token_samples, MelCodes(settings).parse
    return [parse(_clip(random, n, i)) for i, n in enumerate(_lengths(random, count, most))]


def _long_mel_clips(
    settings: MelCodesSettings, random: np.random.Generator, count: int
) -> list[Any]:
    most = settings.max_tokens * settings.token_samples
    return [random.uniform(-1, 1, most + 1 + n).astype(np.float32) for n in range(count)]


def _mulaw_clips(settings: MulawSettings, random: np.random.Generator, count: int) -> list[Any]:
    lengths = _lengths(random, count, settings.max_tokens)
    return [_clip(random, n, i) for i, n in enumerate(lengths)]


def _long_mulaw_clips(
    settings: MulawSettings, random: np.random.Generator, count: int
) -> list[Any]:
    lengths = range(settings.max_tokens + 1, settings.max_tokens + 1 + count)
    return [random.uniform(-1, 1, samples).astype(np.float32) for samples in lengths]


def _companded_error(wave: FloatArray, restored: FloatArray) -> float:
    """Ids between the two; what was filled up with silence is left out."""
    kept = restored[: len(wave)]
    return float(np.abs(companded(wave, _LEVELS) - companded(kept, _LEVELS)).max())


def _coefficients(
    settings: MfccBytesSettings, random: np.random.Generator, count: int
) -> list[Any]:
    """The first two span the ranges that a fit learns, -1..1; the others lie within."""
    shape = (settings.frames, settings.coefficients)
    ends = [np.full(shape, end, np.float32) for end in (-1, 1)]
    others = [random.uniform(-1, 1, shape).astype(np.float32) for _ in range(count)]
    return [*ends, *others][:count]


def _more_frames(settings: MfccBytesSettings, random: np.random.Generator, count: int) -> list[Any]:
    shape = (settings.frames + 1, settings.coefficients)
    return [random.uniform(-1, 1, shape).astype(np.float32) for _ in range(count)]


def _largest_error(value: FloatArray, restored: FloatArray) -> float:
    return float(np.abs(value - restored).max())


MEL_CODES = Trial(
    settings={"codebook_size": 16, "n_mels": 8, "max_tokens": 6, "griffin_lim_iterations": 4},
    values=_mel_clips,
    refused=_long_mel_clips,
)
"""No distance: k-means promises none."""

MULAW = Trial(
    settings={"levels": _LEVELS, "max_tokens": 96},
    values=_mulaw_clips,
    refused=_long_mulaw_clips,
    distance=_companded_error,
    max_distance=0,
)

MFCC_BYTES = Trial(
    settings={
        "sample_rate": 8000,
        "seconds": 0.2,
        "n_mels": 8,
        "coefficients": 5,
        "griffin_lim_iterations": 4,
    },
    values=_coefficients,
    refused=_more_frames,
    distance=_largest_error,
    max_distance=1 / 255 + 1e-6,  # half a step of a range of 2
)
