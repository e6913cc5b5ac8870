"""`signals.levels`: each measurement is rounded to one of its channel's levels, step after step.

Axes: S steps, C channels, T = S * C tokens. Each channel has ids of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from loretta_framework.api import Bounds, FloatArray, IntArray, checked_ids
from loretta_plugin_signals.gridding import on_grid
from loretta_plugin_signals.range_settings import ScaledSettings
from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.scaling import Ranges
from loretta_plugin_signals.series import Series

Count = Annotated[int, Field(ge=2, le=65_536)]


class LevelsSettings(ScaledSettings):
    """Settings of `signals.levels`."""

    levels: Count | Annotated[tuple[Count, ...], Field(strict=False)] = Field(
        default=64,
        description="Levels from lowest to highest: of all channels but the pen (2), or of each.",
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> LevelsSettings:
        if not isinstance(self.levels, int) and len(self.levels) != len(self.names):
            text = f"one number or one for each of {len(self.names)} channels"
            raise ValueError(f"levels must be {text}, but are {len(self.levels)}")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Levels of each channel."""
        if isinstance(self.levels, int):
            return tuple(2 if name == self.pen else self.levels for name in self.names)
        return self.levels

    def bounds(self) -> Bounds:
        """A token for each channel of each step; a slot of ids for each channel when fixed."""
        channels = len(self.names)
        shortest, longest = self.fewest_steps * channels, self.most_steps * channels
        starts = np.cumsum([0, *self.counts]).tolist()
        slots = [range(*pair) for pair in pairwise(starts)]
        fixed = shortest == longest
        return Bounds(
            starts[-1], shortest, longest, tuple(slots * self.most_steps) if fixed else ()
        )


class Levels(Series):
    """A tokenizer; values are float32 (S, C). It is its own factory."""

    def __init__(self, settings: LevelsSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings
        self._ranges = Ranges(settings)
        self._last_C = np.array(settings.counts) - 1
        self._start_C = np.cumsum([0, *settings.counts])[:-1]

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn the ranges; return the part of each channel outside its range."""
        return self._ranges.fit((on_grid(value, self._settings) for value in values), seed)

    def save(self, directory: Path) -> None:
        """Write the ranges."""
        self._ranges.save(directory)

    def load(self, directory: Path) -> None:
        """Read the ranges. Raises `ValueError` when they are missing or do not fit."""
        self._ranges.load(directory)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,): the nearest levels; what lies outside its range counts as its end.

        Raises:
            ValueError: the value is not on the grid, or the tokenizer is not fitted.
        """
        unit_SC = self._ranges.to_unit(on_grid(value, self._settings))
        level_SC = np.round((unit_SC + 1) / 2 * self._last_C).clip(0, self._last_C)
        ids_SC: IntArray = level_SC.astype(np.int64) + self._start_C
        return ids_SC.ravel()

    def decode(self, ids: IntArray) -> FloatArray:
        """float32 (S, C). An id of another channel counts as the same part of the range.

        A last step that lacks channels is left out.

        Raises:
            ValueError: ids are out of range, or too few or too many.
        """
        ids_T = checked_ids(ids, sum(self._settings.counts))
        channels, low = len(self._start_C), self._settings.fewest_steps
        if not low * channels <= len(ids_T) <= self._settings.most_steps * channels:
            text = f"{low * channels}..{self._settings.most_steps * channels}, but are {len(ids_T)}"
            raise ValueError(f"ids must be {text}")
        channel_T = np.searchsorted(self._start_C, ids_T, side="right") - 1
        part_T = (ids_T - self._start_C[channel_T]) / self._last_C[channel_T]
        part_SC = part_T[: len(part_T) // channels * channels].reshape(-1, channels)
        return self._ranges.from_unit(part_SC * 2 - 1)

    def _unit(self, value_SC: FloatArray) -> Doubles:
        return self._ranges.to_unit(value_SC)
