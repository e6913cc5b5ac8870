"""A recording to a value: float32 (S, C) on the grid of the settings, without missing values."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_signals.gaps import fill_gaps, refuse_holes
from loretta_plugin_signals.recording import Doubles, Recording, refuse_steps
from loretta_plugin_signals.resampling import average, follow_strokes, interpolate
from loretta_plugin_signals.settings import SeriesSettings

FAR = 2.0**53
"""More steps than anything holds: where a count of steps would be infinite."""


def to_value(recording: Recording, settings: SeriesSettings) -> FloatArray:
    """float32 (S, C), `fewest_steps` <= S <= `most_steps`.

    Raises:
        ValueError: too many or too few steps, other channels, times that do not ascend, missing
            values or rows beyond `max_gap`, infinite ones, or a pen channel of other numbers than 0 and 1.
    """
    _check(recording, settings)
    refuse_steps(len(recording.values_SC), settings)
    times_S = _times(recording, settings)
    if recording.times_S is not None:
        refuse_holes(times_S, recording.values_SC, settings)
    filled_SC = fill_gaps(times_S, recording.values_SC, settings)
    if settings.steps is not None:
        grid_N = np.linspace(times_S[0], times_S[-1], settings.steps)
    elif settings.rate is not None:
        steps = _steps_at_rate(recording, times_S, settings)
        grid_N = times_S[0] + np.arange(_kept(steps, settings)) / settings.rate
    else:
        grid_N = times_S[: _kept(len(times_S), settings)]
    with np.errstate(over="ignore", invalid="ignore"):
        value_SC = _resample(times_S, filled_SC, grid_N, settings).astype(np.float32)
    if not np.isfinite(value_SC).all():
        raise ValueError("values must fit float32, but are too large")
    return _held(value_SC, settings)


def _check(recording: Recording, settings: SeriesSettings) -> None:
    values_SC, channels = recording.values_SC, len(settings.names)
    if values_SC.ndim != 2 or values_SC.shape[1] != channels or not len(values_SC):
        text = f"(steps, {channels}) with at least one step, but has the shape {values_SC.shape}"
        raise ValueError(f"a series must be {text}")
    if np.isinf(values_SC).any():
        raise ValueError("values must be finite, but some are infinite")
    if settings.pen_index is not None:
        pen_S = values_SC[:, settings.pen_index]
        if not np.isin(pen_S, (0.0, 1.0)).all():
            raise ValueError(f"the pen channel {settings.pen!r} must hold 0 and 1 only")


def _times(recording: Recording, settings: SeriesSettings) -> Doubles:
    times_S = recording.times_S
    if times_S is None:
        rate = recording.rate or settings.source_rate or settings.rate or 1.0
        even_S: Doubles = np.arange(len(recording.values_SC), dtype=np.float64)
        return even_S if settings.rate is None else even_S / rate
    if not np.isfinite(times_S).all():
        raise ValueError("times must be finite, but some are missing or infinite")
    if (np.diff(times_S) <= 0).any():
        row = int(np.argmax(np.diff(times_S) <= 0)) + 2
        raise ValueError(f"times must ascend, but row {row} is not after the row before it")
    since_S: Doubles = times_S - times_S[0]
    return since_S


def _steps_at_rate(recording: Recording, times_S: Doubles, settings: SeriesSettings) -> int:
    """Steps at the grid's rate: as many as start within the recording. Told before allocation."""
    rate = settings.rate or 1.0
    if recording.times_S is not None:
        return 1 + int(min(FAR, float(times_S[-1]) * rate + 1e-6))
    recorded = recording.rate or settings.source_rate or rate
    return max(1, int(min(FAR, len(times_S) / recorded * rate + 0.5)))


def _kept(steps: int, settings: SeriesSettings) -> int:
    most = settings.most_steps
    if steps > most and settings.too_long == "error":
        fix = "set too_long to crop to keep its beginning"
        raise ValueError(f"a series must have at most {most} steps, but has {steps}; {fix}")
    return min(steps, most)


def _resample(
    times_S: Doubles, values_SC: Doubles, grid_N: Doubles, settings: SeriesSettings
) -> Doubles:
    if len(grid_N) <= len(times_S) and np.array_equal(grid_N, times_S[: len(grid_N)]):
        return values_SC[: len(grid_N)]
    if settings.pen_index is not None:
        return follow_strokes(times_S, values_SC, grid_N, settings.pen_index)
    recorded = times_S[-1] / max(1, len(times_S) - 1)
    if len(grid_N) > 1:
        step = float(grid_N[-1] - grid_N[0]) / (len(grid_N) - 1)
    else:
        step = 1 / (settings.rate or 1.0)
    if settings.resampling == "mean" and step > recorded * (1 + 1e-9):
        return average(times_S, values_SC, grid_N, step)
    return interpolate(times_S, values_SC, grid_N)


def _held(value_SC: FloatArray, settings: SeriesSettings) -> FloatArray:
    lacking = settings.fewest_steps - len(value_SC)
    if lacking <= 0:
        return value_SC
    if settings.too_short == "error":
        text = f"{settings.fewest_steps} steps, but has {len(value_SC)}"
        raise ValueError(f"a series must have {text}; set too_short to hold to hold its last step")
    held_SC = np.repeat(value_SC[-1:], lacking, axis=0)
    if settings.pen_index is not None:
        held_SC[:, settings.pen_index] = 0
    return np.concatenate([value_SC, held_SC])


def on_grid(value: object, settings: SeriesSettings) -> FloatArray:
    """The value itself, when it lies on the grid already; nothing is resampled or cut.

    Raises:
        ValueError: it is no finite array (S, C), or has too few or too many steps.
    """
    value_SC = np.asarray(value)
    if value_SC.dtype.kind not in "iuf":
        raise ValueError(f"a series must hold numbers, but holds {value_SC.dtype}")
    _check(Recording(value_SC), settings)
    low, high = settings.fewest_steps, settings.most_steps
    if not low <= len(value_SC) <= high:
        text = f"must have {low}..{high} steps, but has {len(value_SC)}"
        raise ValueError(f"a series {text}; parse brings it to the grid")
    if np.isnan(value_SC).any():
        raise ValueError("values must be finite, but some are missing")
    return value_SC.astype(np.float32)
