"""`signals.patches`: patches of a few steps as vectors that a model is given, never generated.

Axes: S steps, C channels, T patches, P steps of a patch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from loretta_framework.api import Bounds, EncoderNetwork, FloatArray
from loretta_plugin_signals.gridding import on_grid
from loretta_plugin_signals.patching import patches_of
from loretta_plugin_signals.range_settings import Pairs, check_ranges, range_arrays
from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.series import Series
from loretta_plugin_signals.settings import SeriesSettings


class PatchesSettings(SeriesSettings):
    """Settings of `signals.patches`: series of one length."""

    patch: int = Field(default=8, ge=1, le=4096, description="Steps of a patch.")
    normalise: Literal["series", "fixed"] = Field(
        default="series",
        description="Each channel to mean 0 and deviation 1 in each series, or `ranges` to -1..1.",
    )
    ranges: Pairs = Field(
        default=(), description="Lowest and highest of each channel, or one pair for all (fixed)."
    )
    network: Literal["none", "linear", "conv"] = Field(
        default="none",
        description="What makes vectors of patches: nothing (they are the vectors), a linear layer, "
        "or two convolutions over neighbouring patches.",
    )
    width: int = Field(default=128, ge=1, le=65_536, description="Width of the network's vectors.")

    @model_validator(mode="after")
    def _patches_fit(self) -> PatchesSettings:
        if self.fewest_steps != self.most_steps:
            raise ValueError("series must have one length, but may vary: set steps, or fixed: true")
        if self.most_steps % self.patch:
            text = f"a multiple of patch ({self.patch}), but are {self.most_steps}"
            raise ValueError(f"the steps of a series must be {text}")
        if (self.normalise == "fixed") != bool(self.ranges):
            text = f"but normalise is {self.normalise} and ranges are {list(self.ranges)}"
            raise ValueError(f"ranges must be given with normalise fixed and only then, {text}")
        check_ranges(self.ranges, len(self.names))
        return self

    def bounds(self) -> Bounds:
        """A vector for each patch."""
        patches = self.most_steps // self.patch
        return Bounds(vocab_size=0, min_tokens=patches, max_tokens=patches)


class Patches(Series):
    """An encoder; values are float32 (S, C). It is its own factory.

    Attributes:
        width: of its vectors, whether a network makes them or not.
    """

    def __init__(self, settings: PatchesSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings
        self._inputs = settings.patch * len(settings.names)
        self.width = self._inputs if settings.network == "none" else settings.width

    def preprocess(self, value: FloatArray) -> FloatArray:
        """float32 (T, P * C): normalised patches. Raises `ValueError` when it is not on the grid."""
        unit_SC = self._unit(on_grid(value, self._settings))
        return patches_of(unit_SC, self._settings.patch).astype(np.float32)

    def network(self) -> EncoderNetwork | None:
        """A fresh network (N, T, P * C) -> (N, T, width), or None: patches are vectors already."""
        if self._settings.network == "none":
            return None
        from loretta_plugin_signals.networks import PatchNetwork

        return PatchNetwork(self._inputs, self.width, self._settings.network == "conv")

    def _unit(self, value_SC: FloatArray) -> Doubles:
        doubles_SC = value_SC.astype(np.float64)
        if self._settings.normalise == "fixed":
            channels = len(self._settings.names)
            low_C, high_C = range_arrays(self._settings.ranges, channels)
            return (doubles_SC - low_C) / (high_C - low_C) * 2 - 1
        centred_SC = doubles_SC - doubles_SC.mean(axis=0)
        spread_C = centred_SC.std(axis=0)
        # A channel that stands still has no deviation, but rounding leaves a little that would grow.
        still_C = spread_C <= 1e-6 * np.abs(doubles_SC).max(axis=0)
        return np.where(still_C, 0, centred_SC / np.where(still_C, 1, spread_C))
