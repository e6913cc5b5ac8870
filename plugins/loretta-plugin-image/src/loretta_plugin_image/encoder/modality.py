"""`image.timm`: images that a network of timm turns into vectors for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loretta_framework.api import FloatArray
from loretta_plugin_image.encoder.settings import TimmSettings
from loretta_plugin_image.picture import PictureModality

if TYPE_CHECKING:
    from loretta_plugin_image.encoder.network import TimmNetwork


class TimmImages(PictureModality):
    """A `protocols.Encoder`. The class is its own factory and needs no context."""

    def __init__(self, settings: TimmSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings

    def preprocess(self, value: FloatArray) -> FloatArray:
        """float32 (C, H, W): the pixels in 0..1. The network knows its mean and deviation itself."""
        return self.features(value)

    def network(self) -> TimmNetwork:
        """The network, its weights drawn from torch's own generator or read from `weights`.

        Raises:
            MissingDependencyError: timm is not installed, or cannot be imported.
            InputError: timm has no such network, it cannot work on images of this size, makes another
                number of vectors than `tokens`, or the weights are not its own.
        """
        from loretta_plugin_image.encoder.network import TimmNetwork

        return TimmNetwork(self._settings)
