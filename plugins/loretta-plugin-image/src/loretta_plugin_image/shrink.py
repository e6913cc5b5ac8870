"""Large pictures made smaller without a second copy of them in memory.

A picture of 16 million pixels takes 64 MB as Pillow holds it. Turned into numbers as a whole it
would take six times that, for an image that is then resized to a few pixels a side.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
from PIL import Image

from loretta_plugin_image.settings import PictureSettings

LARGE = 1 << 20
"""Pixels above which a picture is shrunk first, in whole steps of brightness."""

_BAND = 1 << 18
"""Pixels worked on at a time, unless one row of the small picture stands for more."""

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


def prepare(picture: Image.Image, settings: PictureSettings) -> None:
    """Ask the JPEG decoder for a smaller picture, if it is large: it then makes no other."""
    side = max(settings.width, settings.height)
    if picture.width * picture.height > LARGE:
        picture.draft(
            None, (2 * side, 2 * side)
        )  # no smaller than that; others than JPEG ignore it


def shrink(picture: Image.Image, settings: PictureSettings) -> Image.Image:
    """A loaded picture in at most the settings' size if it is large, else as it is.

    Each pixel is the mean of what it stands for. Modes become L, RGB, RGBA or, for 16 bits, F in
    0..1; orientation tags are kept.
    """
    if picture.width * picture.height <= LARGE:
        return picture
    width, height = settings.width, settings.height
    if picture.getexif().get(_ORIENTATION) in _TURNED:
        width, height = height, width
    width, height = min(width, picture.width), min(height, picture.height)
    rows = picture.height / height  # of the large picture to one of the small
    step = max(1, int(_BAND / (picture.width * rows)))
    parts = [
        _band(picture, top * rows, min(top + step, height) * rows, (width, min(step, height - top)))
        for top in range(0, height, step)
    ]
    whole = _joined(parts)
    whole.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return whole


def _band(picture: Image.Image, top: float, stop: float, size: tuple[int, int]) -> Image.Image:
    """The rows from `top` to `stop`, which may cut through pixels, in another size."""
    first, last = floor(top), min(ceil(stop), picture.height)
    band = _plain(picture.crop((0, first, picture.width, last)))
    box = (0, top - first, band.width, min(stop - first, band.height))
    return band.resize(size, Image.Resampling.BOX, box)


def _joined(parts: list[Image.Image]) -> Image.Image:
    """One below the other."""
    whole = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    if whole.mode == "F":  # a mean may leave 0..1 by a rounding error
        return Image.fromarray(np.clip(np.asarray(whole), 0, 1))
    return whole


def _plain(band: Image.Image) -> Image.Image:
    """In a mode whose pixels have a mean."""
    if band.mode.startswith("I"):
        return band.convert("F").point(lambda value: value * (1 / 65_535) + 0)
    if band.mode == "F":
        return band
    if band.has_transparency_data:
        return band.convert("RGBA")
    return band.convert("L" if band.mode in ("1", "L") else "RGB")
