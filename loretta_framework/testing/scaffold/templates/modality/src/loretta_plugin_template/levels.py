"""`template.levels`: a fixed number of measurements, each rounded to one of a few levels.

Axes: T measurements of a value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from loretta_framework.api import (
    Artifact,
    Bounds,
    FloatArray,
    IntArray,
    ModalitySettings,
    Trial,
    checked_ids,
)
from pydantic import Field, model_validator


class LevelsSettings(ModalitySettings):
    """Settings of `template.levels`. This module must not import torch."""

    length: int = Field(default=8, ge=1, le=4096, description="Measurements of a value.")
    levels: int = Field(default=64, ge=2, le=65_536, description="Steps from lowest to highest.")
    lowest: float = Field(default=0.0, description="Smaller measurements count as this.")
    highest: float = Field(default=1.0, description="Larger measurements count as this.")

    @model_validator(mode="after")
    def _range_is_in_order(self) -> LevelsSettings:
        if self.lowest >= self.highest:
            raise ValueError(
                f"lowest must be below highest, but {self.lowest:g} >= {self.highest:g}"
            )
        return self

    def bounds(self) -> Bounds:
        """One token for each measurement."""
        return Bounds(vocab_size=self.levels, min_tokens=self.length, max_tokens=self.length)


class Levels:
    """A tokenizer; values are float32 (T,) from `lowest` to `highest`. It is its own factory."""

    def __init__(self, settings: LevelsSettings, context: object = None) -> None:
        self._settings = settings

    def read(self, data: bytes, extension: str) -> FloatArray:
        """A JSON list of numbers. Raises `ValueError` when it is none, or of another length."""
        try:
            return self.parse(json.loads(data))
        except RecursionError as error:  # of "[[[[..."
            raise ValueError(
                "measurements must be a list of numbers, but are a deep nest"
            ) from error

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """The measurements as JSON."""
        return json.dumps([float(number) for number in value]).encode(), "json"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """The measurements as a line of text."""
        return [Artifact(" ".join(f"{number:.3g}" for number in value).encode(), "txt")]

    def parse(self, value: Any) -> FloatArray:
        """Any sequence of numbers as a value. Raises `ValueError` when it cannot be one."""
        try:
            value_T = np.asarray(value, dtype=np.float32)
        except TypeError as error:
            raise ValueError(f"measurements must be numbers: {error}") from error
        settings = self._settings
        if value_T.shape != (settings.length,):
            raise ValueError(
                f"there must be {settings.length} measurements, but the shape is {value_T.shape}"
            )
        if not np.isfinite(value_T).all():
            raise ValueError("measurements must be finite")
        return np.clip(value_T, settings.lowest, settings.highest)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,): the nearest levels. Raises `ValueError` when `value` is not a value."""
        settings = self._settings
        part_T = (self.parse(value) - settings.lowest) / (settings.highest - settings.lowest)
        return np.round(part_T * (settings.levels - 1)).astype(np.int64)

    def decode(self, ids: IntArray) -> FloatArray:
        """The measurements. Raises `ValueError` when ids are out of range or of another number."""
        settings = self._settings
        ids_T = checked_ids(ids, settings.levels)
        part_T = ids_T / (settings.levels - 1)
        return self.parse(settings.lowest + part_T * (settings.highest - settings.lowest))


def _examples(
    settings: LevelsSettings, random: np.random.Generator, count: int
) -> list[FloatArray]:
    shape = (count, settings.length)
    return list(random.uniform(settings.lowest, settings.highest, shape).astype(np.float32))


def _largest_error(value: FloatArray, restored: FloatArray) -> float:
    return float(np.abs(value - restored).max())


TRIAL = Trial(
    settings={"length": 5, "levels": 101},
    values=_examples,
    distance=_largest_error,
    max_distance=0.5 / 100 + 1e-6,  # half a level
)
"""With what the conformance kit tries it."""
