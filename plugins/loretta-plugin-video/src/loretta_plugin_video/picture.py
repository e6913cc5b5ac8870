"""Frames as pictures: resizing, contact sheets, animated PNGs. Axes: F frames, H rows, W columns, C."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHEET_COLUMNS = 8
SHEET_FRAMES = 32
SHEET_SIDE = 64
GAP = 2
GAP_GREY = 40


def resized(frame_HWC: NDArray[np.uint8], height: int, width: int, channels: int) -> Any:
    """uint8 (height, width, channels): area means where it shrinks, else linear in between."""
    if frame_HWC.shape == (height, width, channels):
        return frame_HWC
    picture = as_picture(frame_HWC).convert("L" if channels == 1 else "RGB")
    shrinks = height <= picture.height and width <= picture.width
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    if picture.size != (width, height):
        picture = picture.resize((width, height), method)
    return np.asarray(picture).reshape(height, width, channels)


def as_picture(frame_HWC: NDArray[np.uint8]) -> Image.Image:
    """A Pillow image of a frame of one or three channels."""
    return Image.fromarray(frame_HWC[..., 0] if frame_HWC.shape[-1] == 1 else frame_HWC)


def enlarged(clip_FHWC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Each pixel as a square, so large that the shorter side reaches `side`."""
    factor = max(1, -(-side // min(clip_FHWC.shape[1:3])))
    return clip_FHWC.repeat(factor, axis=1).repeat(factor, axis=2)


def sheet(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """uint8 (height, width, C): clips (F, H, W, C) below each other, frames side by side, enlarged."""
    lines = []
    for clip_FHWC in (enlarged(row, SHEET_SIDE) for row in rows):
        padded = np.pad(clip_FHWC, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=GAP_GREY)
        lines.append(np.concatenate(list(padded), axis=1))
    return np.concatenate(lines)[:-GAP, :-GAP]


def contact_sheet(clip_FHWC: NDArray[np.uint8]) -> bytes:
    """A PNG of the frames in reading order; of more than 32 so many, evenly drawn."""
    count = len(clip_FHWC)
    shown = np.unique(np.linspace(0, count - 1, min(count, SHEET_FRAMES)).round().astype(int))
    columns = min(SHEET_COLUMNS, len(shown))
    empty = np.full((-len(shown) % columns, *clip_FHWC.shape[1:]), GAP_GREY, np.uint8)
    cells = np.concatenate([clip_FHWC[shown], empty]).reshape(-1, columns, *clip_FHWC.shape[1:])
    return png(sheet(list(cells)))


def png(picture_HWC: NDArray[np.uint8]) -> bytes:
    """The file."""
    file = io.BytesIO()
    as_picture(picture_HWC).save(file, "PNG")
    return file.getvalue()


def animation(clip_FHWC: NDArray[np.uint8], rate: float) -> bytes:
    """An animated PNG that repeats; viewers that know none show its first frame."""
    first, *others = [as_picture(frame) for frame in enlarged(clip_FHWC, SHEET_SIDE)]
    file = io.BytesIO()
    first.save(
        file, "PNG", save_all=True, append_images=others, duration=round(1000 / rate), loop=0
    )
    return file.getvalue()
