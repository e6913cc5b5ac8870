"""Changed copies of a series, drawn for each sample in training.

Axes: S steps, C channels.
"""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.resampling import follow_strokes, interpolate
from loretta_plugin_signals.settings import AugmentSettings, SeriesSettings

KNOTS = 4
"""Places between which the local speed of a warped series changes evenly."""


def augmented(
    value_SC: FloatArray, settings: SeriesSettings, random: np.random.Generator
) -> FloatArray:
    """A changed copy of a value, of the same shape. The pen channel is warped and nothing else."""
    if settings.augment is None:
        return value_SC.copy()
    changed_SC = value_SC.astype(np.float64)
    if settings.augment.time_warp and len(changed_SC) > 2:
        changed_SC = _warped(changed_SC, settings, settings.augment.time_warp, random)
    moved_C = np.arange(value_SC.shape[1]) != settings.pen_index
    changed_SC[:, moved_C] = _stretched(changed_SC[:, moved_C], settings.augment, random)
    most = float(np.finfo(np.float32).max)
    return changed_SC.clip(-most, most).astype(np.float32)


def _warped(
    value_SC: Doubles, settings: SeriesSettings, warp: float, random: np.random.Generator
) -> Doubles:
    """Faster here and slower there; both ends stay where they are."""
    steps = len(value_SC)
    knots = np.linspace(0, steps - 2, KNOTS)
    speed_S = np.exp(np.interp(np.arange(steps - 1), knots, random.normal(0, warp, KNOTS)))
    place_S = np.concatenate([[0.0], np.cumsum(speed_S)])
    place_S *= (steps - 1) / place_S[-1]
    times_S = np.arange(steps, dtype=np.float64)
    if settings.pen_index is not None:
        return follow_strokes(times_S, value_SC, place_S, settings.pen_index)
    return interpolate(times_S, value_SC, place_S)


def _stretched(value_SC: Doubles, augment: AugmentSettings, random: np.random.Generator) -> Doubles:
    """Scaled about each channel's mean, with noise, some channels held at their mean."""
    channels = value_SC.shape[1]
    mean_C, spread_C = value_SC.mean(axis=0), value_SC.std(axis=0)
    factor_C = np.exp(random.normal(0, augment.scale, channels))
    noise_SC = random.normal(0, 1, value_SC.shape) * spread_C * augment.noise
    lost_C = np.asarray(random.random(channels) < augment.dropout)
    lost_C[random.integers(channels)] = False
    changed_SC: Doubles = mean_C + (value_SC - mean_C) * factor_C + noise_SC
    changed_SC[:, lost_C] = mean_C[lost_C]
    return changed_SC
