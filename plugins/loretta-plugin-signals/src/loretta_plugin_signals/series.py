"""What all components have in common: files, pictures, what a caller may hold, augmentation.

Axes: S steps, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from loretta_framework.api import Artifact, FloatArray
from loretta_plugin_signals.augmenting import augmented
from loretta_plugin_signals.files import decode_file
from loretta_plugin_signals.gridding import on_grid, to_value
from loretta_plugin_signals.pictures import draw_lines, draw_path, draws_path
from loretta_plugin_signals.recording import Doubles, from_python
from loretta_plugin_signals.resampling import interpolate
from loretta_plugin_signals.settings import SeriesSettings
from loretta_plugin_signals.tables import write_table

JUDGED = 8
"""A judge sees 8 x 8 points of each channel, in reading order."""


class Series(ABC):
    """A modality whose values are float32 (S, C) on the grid of its settings."""

    def __init__(self, settings: SeriesSettings) -> None:
        self._series = settings

    def read(self, data: bytes, extension: str) -> FloatArray:
        """A CSV, TSV, npy or JSON file on the grid. Raises `ValueError` when it cannot be."""
        return to_value(decode_file(data, extension, self._series), self._series)

    def parse(self, value: Any) -> FloatArray:
        """An array or list (S, C), strokes, columns by name, or (any of these, rate) on the grid.

        Raises:
            ValueError: it is none of these, or cannot be brought to the grid.
        """
        return to_value(from_python(value, self._series), self._series)

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """The series as CSV that `read` takes back without loss."""
        return write_table(on_grid(value, self._series), self._series), "csv"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """Lines as PNG, before them the path as PNG when the channels are x and y; a CSV."""
        value_SC = on_grid(value, self._series)
        pictures = [draw_lines(value_SC, self._series)]
        if draws_path(self._series):
            pictures.insert(0, draw_path(value_SC, self._series))
        table = Artifact(write_table(value_SC, self._series), "csv")
        return [*(Artifact(picture, "png") for picture in pictures), table]

    def augment(self, value: FloatArray, random: np.random.Generator) -> FloatArray:
        """A copy changed as the settings ask, of the same shape."""
        return augmented(on_grid(value, self._series), self._series, random)

    def features(self, value: FloatArray) -> FloatArray:
        """float32 (C, 8, 8): 64 points of each channel in reading order, about -1..1."""
        unit_SC = self._unit(on_grid(value, self._series))
        grid_N = np.linspace(0, len(unit_SC) - 1, JUDGED * JUDGED)
        points_NC = interpolate(np.arange(len(unit_SC), dtype=np.float64), unit_SC, grid_N)
        return np.ascontiguousarray(points_NC.T.reshape(-1, JUDGED, JUDGED), dtype=np.float32)

    @abstractmethod
    def _unit(self, value_SC: FloatArray) -> Doubles:
        """(S, C) of about -1..1."""
