"""What a file or a caller holds, before it is brought to the grid of the settings.

S: recorded steps, C: channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_plugin_signals.settings import SeriesSettings

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A series as recorded; NaN stands for a missing value.

    Attributes:
        values_SC: float64 (S, C).
        times_S: float64 (S,) seconds, or None when the steps are even.
        rate: hertz of even steps, where a caller told it.
    """

    values_SC: Doubles
    times_S: Doubles | None = None
    rate: float | None = None


def refuse_steps(steps: int, settings: SeriesSettings) -> None:
    """Raise `ValueError` when a recording has more steps than `max_steps`."""
    if steps > settings.max_steps:
        text = f"at most {settings.max_steps} steps (setting max_steps), but has {steps}"
        raise ValueError(f"a recording must have {text}")


def from_python(value: Any, settings: SeriesSettings) -> Recording:
    """A recording from an array or list (S, C), from strokes, columns by name, or (any, rate).

    Raises:
        ValueError: it is none of these, or its channels are not those of the settings.
    """
    if isinstance(value, Mapping):
        return _from_columns(value, settings)
    if isinstance(value, tuple) and len(value) == 2 and _is_rate(value):
        return with_rate(from_python(value[0], settings), float(value[1]), settings)
    if _depth(value) == 3:
        return Recording(_from_strokes(value, settings))
    values_SC = _numbers(value, "a series")
    if values_SC.ndim == 1 and len(settings.names) == 1:
        values_SC = values_SC[:, None]
    return Recording(values_SC)


def _is_rate(value: tuple[Any, Any]) -> bool:
    return isinstance(value[1], Real) and not isinstance(value[0], Real | str | bytes)


def with_rate(recording: Recording, rate: float, settings: SeriesSettings) -> Recording:
    """The recording with the rate that a caller or a file tells.

    Raises:
        ValueError: it is no rate, or the settings or the recording have no use for one.
    """
    if not 0 < rate < float("inf"):
        raise ValueError(f"the rate must be above 0 hertz, but is {rate}")
    if settings.longest is not None:
        raise ValueError("a rate was given, but the settings keep steps as recorded (longest)")
    if recording.times_S is not None:
        raise ValueError("a rate was given, but the value has a time column already")
    return Recording(recording.values_SC, rate=rate)


def _from_columns(columns: Mapping[str, Any], settings: SeriesSettings) -> Recording:
    wanted = (*settings.names, *([settings.time] if settings.time else []))
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ValueError(f"columns must hold {missing}, but are {list(columns)}")
    arrays = [_numbers(columns[name], f"column {name!r}") for name in wanted]
    if any(array.ndim != 1 or len(array) != len(arrays[0]) for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"columns must be equally long lists, but have shapes {shapes}")
    count = len(settings.names)
    return Recording(np.stack(arrays[:count], axis=1), arrays[-1] if settings.time else None)


def _from_strokes(strokes: Any, settings: SeriesSettings) -> Doubles:
    """Strokes (n, C-1) behind one another, the pen channel 1 where a new one begins."""
    index = settings.pen_index
    if index is None:
        raise ValueError("strokes (three levels of lists) need the setting pen, which is not given")
    parts = []
    for number, stroke in enumerate(strokes):
        points = _numbers(stroke, f"stroke {number}")
        if points.ndim != 2 or points.shape[1] != len(settings.names) - 1 or not len(points):
            text = f"(points, {len(settings.names) - 1}), but has the shape {points.shape}"
            raise ValueError(f"stroke {number} must be {text}")
        begins = np.zeros(len(points))
        begins[0] = float(number > 0)
        parts.append(np.insert(points, index, begins, axis=1))
    return np.concatenate(parts)


def _depth(value: Any) -> int:
    """Levels of nested sequences; the first item of each stands for all."""
    if isinstance(value, np.ndarray):
        return value.ndim
    depth = 0
    while isinstance(value, list | tuple) and depth <= 3:
        depth, value = depth + 1, value[0] if value else None
    return depth + (value.ndim if isinstance(value, np.ndarray) else 0)


def _numbers(value: Any, what: str) -> Doubles:
    """float64 of any numeric array or nested list; None is missing."""
    if isinstance(value, str | bytes):
        raise ValueError(f"{what} must hold numbers, but is {type(value).__name__}")
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":  # None among numbers
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} must be numbers in lists of one length: {error}") from error
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{what} must hold numbers, but holds {array.dtype}")
    return array.astype(np.float64)
