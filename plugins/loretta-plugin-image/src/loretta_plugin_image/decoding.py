"""Image files to arrays, and arrays of any usual form to one form. Axes: H rows, W columns, C channels."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from loretta_framework.api.protocols import FloatArray
from loretta_plugin_image.headers import (
    MAX_SCANS,
    MAX_TEXTS,
    claimed_size,
    count_scans,
    count_texts,
)
from loretta_plugin_image.settings import PictureSettings
from loretta_plugin_image.shrink import prepare, shrink

FORMATS = ("PNG", "JPEG", "WEBP")
"""Decoders that may see a stranger's file. Pillow's others are rarely used and often attacked."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's own conversion


def decode_file(data: bytes, settings: PictureSettings) -> Image.Image:
    """Decode a PNG, JPEG or WebP, turned upright.

    Raises:
        ValueError: another format, animated, more than `max_pixels`, or damaged.
    """
    try:
        _require_size(claimed_size(data), settings)
        if count_scans(data) > MAX_SCANS:
            raise ValueError(f"it may make at most {MAX_SCANS} passes over its pixels")
        if count_texts(data) > MAX_TEXTS:
            raise ValueError(f"it may hold at most {MAX_TEXTS} compressed texts")
        picture = _open(data)
        # The header alone has been read so far: a bomb is refused before its pixels are made.
        _require_size(picture.size, settings)
        if getattr(picture, "n_frames", 1) > 1:
            raise ValueError("it must hold one picture, but holds several (an animation?)")
        prepare(picture, settings)
        picture.load()
        return ImageOps.exif_transpose(shrink(picture, settings))
    except UnidentifiedImageError as error:
        raise ValueError(f"an image cannot be read: it is none of {', '.join(FORMATS)}") from error
    # Pillow's decoders raise what comes (OSError, SyntaxError, struct.error, ...) on damaged files.
    except Exception as error:
        what = str(error) or type(error).__name__
        raise ValueError(f"an image cannot be read: {what}") from error


def _open(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow only warns of a picture with half as many pixels as it refuses.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(data), formats=FORMATS)


def _require_size(size: tuple[int, int] | None, settings: PictureSettings) -> None:
    if size is not None and size[0] * size[1] > settings.max_pixels:
        text = f"but has {size[0]} x {size[1]}"
        raise ValueError(f"it may have at most {settings.max_pixels} pixels (max_pixels), {text}")


def from_picture(picture: Image.Image, settings: PictureSettings) -> FloatArray:
    """A Pillow image as a value: float32 (H, W, C) in 0..1, in the size of the settings.

    Raises:
        ValueError: the image has no pixels.
    """
    if picture.mode.startswith("I"):  # 16 bits a pixel; convert("L") would cut instead of scaling
        return fit_size(np.asarray(picture, np.float32)[..., None] / np.float32(65_535), settings)
    if picture.mode == "F":
        return from_array(np.asarray(picture, np.float32), settings)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, settings.background)
        picture = Image.alpha_composite(behind, picture)
    grey = picture.mode in ("1", "L")
    pixels_HWC = np.asarray(picture.convert("L" if grey else "RGB"), np.float32) / np.float32(255)
    return fit_size(pixels_HWC[..., None] if grey else pixels_HWC, settings)


def from_array(array: Any, settings: PictureSettings) -> FloatArray:
    """An array (H, W), (H, W, 1) or (H, W, 3), uint8 or float in 0..1, as a value.

    Raises:
        ValueError: it has another shape or type, or values outside 0..1.
    """
    pixels = np.asarray(array)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        text = f"but is {np.asarray(array).shape}"
        raise ValueError(f"an image must be (height, width), (..., 1) or (..., 3), {text}")
    if pixels.dtype == np.uint8:
        return fit_size(pixels.astype(np.float32) / np.float32(255), settings)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"an image must be uint8 or float, but is {pixels.dtype}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # written so that NaN is refused too
        raise ValueError(f"a float image must lie in 0..1, but spans {low:g}..{high:g}")
    return fit_size(pixels.astype(np.float32), settings)


def fit_size(pixels_HWC: FloatArray, settings: PictureSettings) -> FloatArray:
    """Bring channels and size to the settings' own; the aspect ratio is not kept."""
    if pixels_HWC.shape[2] == 3 and settings.channels == 1:
        pixels_HWC = (pixels_HWC @ _GREY)[..., None]
    planes = [pixels_HWC[..., channel] for channel in range(pixels_HWC.shape[2])]
    height, width = planes[0].shape
    if (height, width) != (settings.height, settings.width):
        shrinks = height >= settings.height and width >= settings.width
        # BOX takes every pixel of a cell once; enlarging with it would only repeat pixels.
        how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        size = (settings.width, settings.height)
        planes = [np.asarray(Image.fromarray(plane).resize(size, how)) for plane in planes]
    value_HWC = np.clip(np.stack(planes, axis=-1), 0, 1)
    return np.repeat(value_HWC, settings.channels // value_HWC.shape[2], axis=2)
