"""`image.pixels`: one token per pixel and channel, rows first, channels last."""

from __future__ import annotations

import numpy as np

from loretta_framework.api.ids import checked_ids
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_plugin_image.picture import PictureModality
from loretta_plugin_image.settings import PixelsSettings


class Pixels(PictureModality):
    """A `protocols.Tokenizer`. The class is its own factory and needs no context."""

    def __init__(self, settings: PixelsSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (H * W * C,): the nearest brightness steps. Raises `ValueError` for no value."""
        levels = self._settings.levels
        return np.round(self.checked(value).ravel() * (levels - 1)).astype(np.int64)

    def decode(self, ids: IntArray) -> FloatArray:
        """The image. Raises `ValueError` when ids are too few, too many or out of range."""
        settings = self._settings
        ids_T = checked_ids(ids, settings.levels)
        tokens = settings.bounds().max_tokens
        if len(ids_T) != tokens:
            raise ValueError(f"an image must have {tokens} tokens, but has {len(ids_T)}")
        value = (ids_T / (settings.levels - 1)).astype(np.float32)
        return value.reshape(settings.height, settings.width, settings.channels)
