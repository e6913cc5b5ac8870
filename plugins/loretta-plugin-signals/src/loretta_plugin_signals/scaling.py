"""The range of each channel: fitted on training rows or given. Values within it lie in -1..1.

Axes: S steps, C channels.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api import FloatArray, generator
from loretta_plugin_signals.range_settings import ScaledSettings, range_arrays
from loretta_plugin_signals.recording import Doubles

STATE_FILE = "ranges.json"
MAX_STEPS = 262_144
"""Steps that a fit looks at; of more it draws about this many."""


class Ranges:
    """The ranges of a component's channels, learned or given; the pen channel's is always 0..1."""

    def __init__(self, settings: ScaledSettings) -> None:
        self._settings = settings
        self._low_high: tuple[Doubles, Doubles] | None = None

    def fit(self, values: Iterable[FloatArray], seed: int) -> dict[str, float]:
        """Learn from values (S, C); of given ranges, learn only what lies outside them.

        Returns:
            `steps` looked at, and for each channel the part of them outside its range.

        Raises:
            ValueError: there are no values.
        """
        drawn_SC = _draw(values, seed).astype(np.float64)
        settings = self._settings
        if settings.scaling == "quantiles":
            low_C, high_C = np.quantile(
                drawn_SC, [settings.quantile, 1 - settings.quantile], axis=0
            )
        elif settings.scaling == "mean_std":
            mean_C, spread_C = drawn_SC.mean(axis=0), drawn_SC.std(axis=0) * settings.deviations
            low_C, high_C = mean_C - spread_C, mean_C + spread_C
        else:
            low_C, high_C = range_arrays(settings.ranges, len(settings.names))
        still_C = high_C - low_C <= 1e-9 * np.maximum(
            1, np.abs(high_C)
        )  # never changed in training
        low_C, high_C = (
            np.where(still_C, low_C - 0.5, low_C),
            np.where(still_C, high_C + 0.5, high_C),
        )
        self._low_high = low_C, high_C = self._with_pen(low_C, high_C)
        outside_C = ((drawn_SC < low_C) | (drawn_SC > high_C)).mean(axis=0)
        parts = {f"outside_{n}": float(o) for n, o in zip(settings.names, outside_C, strict=True)}
        return {"steps": float(len(drawn_SC)), **parts}

    def low_high(self) -> tuple[Doubles, Doubles]:
        """float64 (C,) lowest and highest. Raises `ValueError` before the fit."""
        if self._low_high is None:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._low_high

    def to_unit(self, value_SC: FloatArray) -> Doubles:
        """(S, C): -1 at the lowest, 1 at the highest; what lies outside goes beyond."""
        low_C, high_C = self.low_high()
        return (value_SC.astype(np.float64) - low_C) / (high_C - low_C) * 2 - 1

    def from_unit(self, unit_SC: Doubles) -> FloatArray:
        """float32 (S, C): the way back of `to_unit`; the pen channel becomes 0 or 1."""
        low_C, high_C = self.low_high()
        value_SC = (low_C + (unit_SC + 1) / 2 * (high_C - low_C)).astype(np.float32)
        if self._settings.pen_index is not None:
            value_SC[:, self._settings.pen_index] = unit_SC[:, self._settings.pen_index] >= 0
        return value_SC

    def save(self, directory: Path) -> None:
        """Write the ranges and what they belong to. Raises `ValueError` before the fit."""
        low_C, high_C = self.low_high()
        state = {"about": self._about(), "low": low_C.tolist(), "high": high_C.tolist()}
        directory.mkdir(parents=True, exist_ok=True)
        aside = directory / f"{STATE_FILE}.tmp"
        aside.write_text(json.dumps(state, indent=1, sort_keys=True), "utf-8")
        os.replace(aside, directory / STATE_FILE)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing or damaged, or belongs to other settings.
        """
        try:
            state = json.loads((directory / STATE_FILE).read_text("utf-8"))
            about = state["about"]
            low_C, high_C = (np.array(state[key], dtype=np.float64) for key in ("low", "high"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{directory}: the ranges cannot be read: {error!r}") from error
        if about != self._about():
            text = f"fitted for {about}, but the settings ask for {self._about()}; fit them again"
            raise ValueError(f"{directory}: the ranges were {text}")
        shape = (len(self._settings.names),)
        if low_C.shape != shape or high_C.shape != shape or not (low_C < high_C).all():
            raise ValueError(f"{directory}: the ranges must be {shape[0]} pairs in order")
        if not np.isfinite([low_C, high_C]).all():
            raise ValueError(f"{directory}: the ranges must be finite")
        self._low_high = low_C, high_C

    def _about(self) -> dict[str, Any]:
        keys = {"scaling", "quantile", "deviations", "ranges", "pen"}
        about = self._settings.model_dump(include=keys, mode="json")
        return {**about, "channels": list(self._settings.names)}

    def _with_pen(self, low_C: Doubles, high_C: Doubles) -> tuple[Doubles, Doubles]:
        index = self._settings.pen_index
        if index is not None:
            low_C[index], high_C[index] = 0.0, 1.0
        return low_C, high_C


def _draw(values: Iterable[FloatArray], seed: int) -> FloatArray:
    """Steps (S, C), each of all values equally likely; no more than `MAX_STEPS` are held for long."""
    random = generator(seed, "signals/ranges")
    blocks: list[FloatArray] = []
    held, chance = 0, 1.0
    for value_SC in values:
        blocks.append(value_SC[random.random(len(value_SC)) < chance])
        held += len(blocks[-1])
        while held > MAX_STEPS:
            pool_SC = np.concatenate(blocks)
            blocks = [pool_SC[random.random(held) < 0.5]]
            held, chance = len(blocks[0]), chance / 2
    if not held:
        raise ValueError("there must be at least one series to fit, but there are none")
    return np.concatenate(blocks)
