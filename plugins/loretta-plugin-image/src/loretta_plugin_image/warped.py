"""Image modalities whose settings may ask for random changes in training."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_image.picture import PictureModality
from loretta_plugin_image.settings import PictureSettings, WarpSettings
from loretta_plugin_image.warp import warp


class WarpedModality(PictureModality):
    """A `protocols.Augmenting`."""

    def __init__(self, settings: PictureSettings, changes: WarpSettings | None) -> None:
        super().__init__(settings)
        self._changes = changes

    def augment(self, value: FloatArray, random: np.random.Generator) -> FloatArray:
        """A changed copy as the settings ask; the value itself when they ask for nothing."""
        value = self.checked(value)
        return warp(value, self._changes, random) if self._changes else value
