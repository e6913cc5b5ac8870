"""What the lowest and the highest byte of each coefficient stand for. Axis: C coefficients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import FloatArray

RANGES_FILE = "ranges.json"


class Ranges:
    """The lowest and highest value of each coefficient in the training data, or 0 and 1.

    Args:
        coefficients: C.
        unit: 0 and 1 for all, whatever the data.
        about: settings that must agree when saved ranges are loaded.
    """

    def __init__(self, coefficients: int, unit: bool, about: Mapping[str, Any]) -> None:
        self._unit, self._about = unit, json.loads(json.dumps(dict(about)))
        self._ends_2C: NDArray[np.float64] | None = None
        if unit:
            self._ends_2C = np.stack([np.zeros(coefficients), np.ones(coefficients)])

    def fit(self, values: Iterable[FloatArray]) -> dict[str, float]:
        """Learn from values (frames, C).

        Returns:
            `clips` looked at, `constant_coefficients` that never change, `largest_error` (half the
            widest step between bytes), and `outside` (part of the values beyond the ranges).

        Raises:
            ValueError: there are no values.
        """
        lows, highs, clips, outside, cells = [], [], 0, 0, 0
        for value in values:
            clips, cells = clips + 1, cells + value.size
            lows.append(value.min(axis=0))
            highs.append(value.max(axis=0))
            outside += int(((value < 0) | (value > 1)).sum())
        if not clips:
            raise ValueError("there must be at least one value to fit on")
        if not self._unit:
            ends = [np.min(lows, axis=0), np.max(highs, axis=0)]
            self._ends_2C = np.stack(ends).astype(np.float64)
        spans_C = self._ends()[1] - self._ends()[0]
        return {
            "clips": float(clips),
            "constant_coefficients": float((spans_C == 0).sum()),
            "largest_error": float(spans_C.max()) / 510,
            "outside": outside / cells if self._unit else 0.0,
        }

    def scaled(self, value: FloatArray) -> NDArray[np.float64]:
        """(..., C): 0 at the lowest value, 1 at the highest. Raises `ValueError` before the fit."""
        low_C, high_C = self._ends()
        scaled: NDArray[np.float64] = (value - low_C) / np.where(high_C > low_C, high_C - low_C, 1)
        return scaled

    def restored(self, scaled: NDArray[np.float64]) -> FloatArray:
        """The way back of `scaled`, float32. Raises `ValueError` before the fit."""
        low_C, high_C = self._ends()
        wide = low_C + scaled * np.where(high_C > low_C, high_C - low_C, 1)
        return np.asarray(wide, np.float32)

    def save(self, directory: Path) -> None:
        """Write them as JSON. Raises `ValueError` before the fit."""
        low, high = self._ends().tolist()
        text = json.dumps({"about": self._about, "low": low, "high": high}, indent=1)
        directory.mkdir(parents=True, exist_ok=True)
        aside = directory / f"{RANGES_FILE}.tmp"
        aside.write_text(text + "\n", "utf-8")
        os.replace(aside, directory / RANGES_FILE)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing or damaged, or belongs to other settings.
        """
        try:
            found = json.loads((directory / RANGES_FILE).read_text("utf-8"))
            about = found["about"]
            ends_2C = np.array([found["low"], found["high"]], np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{directory}: the ranges cannot be read: {error!r}") from error
        if about != self._about:
            text = f"for {about}, but the settings ask for {self._about}; fit it again"
            raise ValueError(f"{directory}: they were fitted {text}")
        shape = (2, self._about["coefficients"])
        if (
            ends_2C.shape != shape
            or not np.isfinite(ends_2C).all()
            or (np.diff(ends_2C, axis=0) < 0).any()
        ):
            raise ValueError(f"{directory}: the ranges must be finite, ascending and {shape}")
        self._ends_2C = ends_2C

    def _ends(self) -> NDArray[np.float64]:
        if self._ends_2C is None:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._ends_2C
