"""`signals.patch_codes`: patches of a few steps as k-means codes, one token each.

Axes: S steps, C channels, T patches, P steps of a patch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from loretta_framework.api import Bounds, Codebook, FloatArray, IntArray, checked_ids
from loretta_plugin_signals.gridding import on_grid
from loretta_plugin_signals.patching import patches_of, steps_of
from loretta_plugin_signals.range_settings import ScaledSettings
from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.scaling import Ranges
from loretta_plugin_signals.series import Series


class PatchCodesSettings(ScaledSettings):
    """Settings of `signals.patch_codes`."""

    patch: int = Field(default=8, ge=1, le=4096, description="Steps of a patch.")
    codes: int = Field(default=256, ge=2, le=65_536, description="Codes to choose from.")

    @model_validator(mode="after")
    def _patches_fit(self) -> PatchCodesSettings:
        if self.most_steps % self.patch:
            text = f"a multiple of patch ({self.patch}), but is {self.most_steps}"
            raise ValueError(f"the longest series must be {text}")
        return self

    def bounds(self) -> Bounds:
        """A token for each patch."""
        shortest = -(-self.fewest_steps // self.patch)
        return Bounds(self.codes, shortest, self.most_steps // self.patch)


class PatchCodes(Series):
    """A tokenizer; values are float32 (S, C). It is its own factory."""

    def __init__(self, settings: PatchCodesSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings
        self._ranges = Ranges(settings)
        channels = len(settings.names)
        about = {"patch": settings.patch, "channels": list(settings.names)}
        self._codebook = Codebook(settings.codes, settings.patch * channels, about)

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn ranges, then codes; return how well the codes explain the patches."""
        ranges = self._ranges.fit((on_grid(value, self._settings) for value in values), seed)
        return {**ranges, **self._codebook.fit(self._blocks(values), seed)}

    def save(self, directory: Path) -> None:
        """Write ranges and codes."""
        self._ranges.save(directory)
        self._codebook.save(directory)

    def load(self, directory: Path) -> None:
        """Read ranges and codes. Raises `ValueError` when they are missing or do not fit."""
        self._ranges.load(directory)
        self._codebook.load(directory)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,): the nearest code of each patch; the last step is held to fill the last.

        Raises:
            ValueError: the value is not on the grid, or the tokenizer is not fitted.
        """
        return self._codebook.encode(self._patches(on_grid(value, self._settings)))

    def decode(self, ids: IntArray) -> FloatArray:
        """float32 (S, C), S a multiple of the patch.

        Raises:
            ValueError: ids are out of range, or too few or too many.
        """
        bounds = self._settings.bounds()
        ids_T = checked_ids(ids, bounds.vocab_size)
        if not bounds.min_tokens <= len(ids_T) <= bounds.max_tokens:
            text = f"{bounds.min_tokens}..{bounds.max_tokens}, but are {len(ids_T)}"
            raise ValueError(f"ids must be {text}")
        patches_TD = self._codebook.decode(ids_T).astype(np.float64)
        return self._ranges.from_unit(steps_of(patches_TD, len(self._settings.names)))

    def _blocks(self, values: Iterable[FloatArray]) -> Iterator[FloatArray]:
        for value in values:
            yield self._patches(on_grid(value, self._settings))

    def _patches(self, value_SC: FloatArray) -> FloatArray:
        unit_SC = self._ranges.to_unit(value_SC).clip(-1, 1)
        return patches_of(unit_SC, self._settings.patch).astype(np.float32)

    def _unit(self, value_SC: FloatArray) -> Doubles:
        return self._ranges.to_unit(value_SC)
