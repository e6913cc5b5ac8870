"""`image.patch_codes`: one token per patch in reading order, from a k-means codebook.

Axes: H rows, W columns, C channels, N patches, D values a patch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from loretta_framework.api.codebook import Codebook
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.api.random import generator
from loretta_plugin_image.settings import PatchCodesSettings, WarpSettings
from loretta_plugin_image.warp import warp
from loretta_plugin_image.warped import WarpedModality


class PatchCodes(WarpedModality):
    """A `protocols.FittedTokenizer` and `protocols.Augmenting`.

    The class is its own factory and needs no context.
    """

    def __init__(self, settings: PatchCodesSettings, context: object = None) -> None:
        super().__init__(settings, settings.augment)
        self._settings = settings
        about = {
            "component": "image.patch_codes",
            "patch": settings.patch,
            "channels": settings.channels,
        }
        values = settings.patch * settings.patch * settings.channels
        self._codebook = Codebook(settings.codebook_size, values, about)

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn the codes from images, and from a changed copy of each when `augment` is set.

        Returns:
            See `Codebook.fit`; distortion is per patch.

        Raises:
            ValueError: there are no images, or one is not a value.
        """
        return self._codebook.fit(self._blocks(values, seed), seed)

    def _blocks(self, values: Iterable[FloatArray], seed: int) -> Iterator[FloatArray]:
        changes: WarpSettings | None = self._settings.augment
        for number, value in enumerate(values):
            yield self._patches(value)
            if changes is not None:
                random = generator(seed, "image.patch_codes/fit", number)
                yield self._patches(warp(value, changes, random))

    def save(self, directory: Path) -> None:
        """Write the codebook as npy and JSON. Raises `ValueError` before the fit."""
        self._codebook.save(directory)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is missing or does not fit."""
        self._codebook.load(directory)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (N,): codes in reading order. Raises `ValueError` for no value or before the fit."""
        return self._codebook.encode(self._patches(value))

    def decode(self, ids: IntArray) -> FloatArray:
        """The image.

        Raises:
            ValueError: not fitted, or ids are too few, too many or out of range.
        """
        settings = self._settings
        patches_ND = self._codebook.decode(ids)
        side, tokens = settings.patch, settings.bounds().max_tokens
        if len(patches_ND) != tokens:
            raise ValueError(f"an image must have {tokens} tokens, but has {len(patches_ND)}")
        rows, columns = settings.height // side, settings.width // side
        grid = patches_ND.reshape(rows, columns, side, side, settings.channels)
        shape = (settings.height, settings.width, settings.channels)
        # Means of values in 0..1 may leave it by a rounding error.
        return np.clip(grid.transpose(0, 2, 1, 3, 4).reshape(shape), 0, 1)

    def _patches(self, value: FloatArray) -> FloatArray:
        """(H, W, C) -> (N, D)."""
        settings, side = self._settings, self._settings.patch
        rows, columns = settings.height // side, settings.width // side
        grid = self.checked(value).reshape(rows, side, columns, side, settings.channels)
        return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1))
