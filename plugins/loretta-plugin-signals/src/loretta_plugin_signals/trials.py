"""With what the conformance kit tries the components: small settings and various series.

Axes: S steps, C channels.
"""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray, Trial
from loretta_plugin_signals.settings import SeriesSettings

SPAN = 2.0
"""Examples lie in -1..1."""


def _examples(
    settings: SeriesSettings, random: np.random.Generator, count: int
) -> list[FloatArray]:
    """The longest, the shortest, a still one, extremes, then waves of any length."""
    low, high, channels = settings.fewest_steps, settings.most_steps, len(settings.names)
    values = [
        _waves(high, channels, random),
        _waves(low, channels, random),
        np.full((high, channels), 0.25, dtype=np.float32),
        np.where(random.random((high, channels)) < 0.5, -1, 1).astype(np.float32),
    ]
    while len(values) < count:
        values.append(_waves(int(random.integers(low, high + 1)), channels, random))
    for value_SC in values:
        if settings.pen_index is not None:
            value_SC[:, settings.pen_index] = random.random(len(value_SC)) < 0.2
    return values[:count]


def _waves(steps: int, channels: int, random: np.random.Generator) -> FloatArray:
    phase_C, speed_C = random.uniform(0, 6, channels), random.uniform(0.1, 1, channels)
    wave_SC = np.sin(np.arange(steps)[:, None] * speed_C + phase_C) * random.uniform(0.2, 0.9)
    return (wave_SC + random.uniform(-0.1, 0.1, (steps, channels))).astype(np.float32)


def _refused(settings: SeriesSettings, random: np.random.Generator, count: int) -> list[FloatArray]:
    """Too long, of one channel more, with a value missing."""
    steps, channels = settings.most_steps, len(settings.names)
    gap_SC = np.zeros((steps, channels), dtype=np.float32)
    gap_SC[0, 0] = np.nan
    values = [
        np.zeros((steps + 1, channels), dtype=np.float32),
        np.zeros((steps, channels + 1), dtype=np.float32),
        gap_SC,
    ]
    return (values * (1 + count // len(values)))[:count]


def _largest_error(value: FloatArray, restored: FloatArray) -> float:
    """The largest difference; infinite when lengths differ."""
    if value.shape != restored.shape:
        return float("inf")
    return float(np.abs(value - restored).max())


def _mean_error(value: FloatArray, restored: FloatArray) -> float:
    """The mean difference; infinite when lengths differ."""
    if value.shape != restored.shape:
        return float("inf")
    return float(np.abs(value - restored).mean())


LEVELS = Trial(
    settings={
        "channels": ["x", "y", "lifted"],
        "pen": "lifted",
        "longest": 12,
        "levels": [33, 33, 2],
        "scaling": "fixed",
        "ranges": [[-1.0, 1.0]],
    },
    values=_examples,
    distance=_largest_error,
    max_distance=SPAN / 32 / 2 + 1e-6,  # half a level
    refused=_refused,
)
PATCH_CODES = Trial(
    settings={"channels": 2, "steps": 16, "patch": 2, "codes": 32},
    values=_examples,
    distance=_mean_error,
    max_distance=0.5,  # waves of other phases are further apart
    refused=_refused,
)
PATCHES = Trial(
    settings={"channels": 2, "steps": 16, "patch": 4, "network": "conv", "width": 12},
    values=_examples,
    refused=_refused,
)
