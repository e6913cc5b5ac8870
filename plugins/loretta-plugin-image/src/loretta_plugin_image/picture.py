"""What every image modality does besides its tokens. Axes: H rows, W columns, C channels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from loretta_framework.api.protocols import Artifact, FloatArray
from loretta_plugin_image.decoding import decode_file, from_array, from_picture
from loretta_plugin_image.settings import PictureSettings

SHOWN_SIDE = 64
"""Shorter side of what `show` makes, at least, in pixels."""


class PictureModality:
    """A `protocols.Modality` and `protocols.Judgeable`; values are float32 (H, W, C) in 0..1."""

    def __init__(self, settings: PictureSettings) -> None:
        self._picture = settings

    def read(self, data: bytes, extension: str) -> FloatArray:
        """A PNG, JPEG or WebP file as a value; its content counts, not its extension.

        Raises:
            ValueError: another format, animated, too large, or damaged.
        """
        return from_picture(decode_file(data, self._picture), self._picture)

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """An 8-bit PNG."""
        return png(to_picture(self.checked(value))), "png"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """A PNG, enlarged until its shorter side has at least 64 pixels."""
        image = to_picture(self.checked(value))
        factor = -(-SHOWN_SIDE // min(image.size))
        size = (image.width * max(factor, 1), image.height * max(factor, 1))
        return [Artifact(png(image.resize(size, Image.Resampling.NEAREST)), "png")]

    def parse(self, value: Any) -> FloatArray:
        """A numpy array (uint8, or float in 0..1), a Pillow image or a file's bytes as a value.

        Raises:
            ValueError: it is none of these, or cannot be an image.
        """
        if isinstance(value, bytes | bytearray):
            return self.read(bytes(value), "")
        if isinstance(value, Image.Image):
            return from_picture(value, self._picture)
        return from_array(value, self._picture)

    def features(self, value: FloatArray) -> FloatArray:
        """float32 (C, H, W): the pixels."""
        return np.ascontiguousarray(self.checked(value).transpose(2, 0, 1))

    def checked(self, value: Any) -> FloatArray:
        """The value itself. Raises `ValueError` when it is not float32 (H, W, C) in 0..1."""
        shape = (self._picture.height, self._picture.width, self._picture.channels)
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.shape != shape:
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value)
            raise ValueError(
                f"an image value must be float32 {shape}, but is {found}; `parse` it first"
            )
        if not (value.min() >= 0 and value.max() <= 1):  # written so that NaN is refused too
            text = f"but spans {value.min():g}..{value.max():g}"
            raise ValueError(f"an image value must lie in 0..1, {text}")
        return value


def to_picture(value_HWC: FloatArray) -> Image.Image:
    """A value as a Pillow image of 8 bits a channel."""
    bytes_HWC = np.round(value_HWC * 255).astype(np.uint8)
    return Image.fromarray(bytes_HWC[..., 0] if bytes_HWC.shape[2] == 1 else bytes_HWC)


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
