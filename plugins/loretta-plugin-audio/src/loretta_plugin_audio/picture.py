"""Spectrograms as PNG, written here: sound should not need an imaging library.

Axes: T frames, M mel bands or other rows, H x W pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import FloatArray

_SIDE = 128
_GAP = 2
_GAP_SHADE = 128


def spectrogram_png(log_mel_TM: FloatArray) -> bytes:
    """Grey PNG of (T, M): time to the right, low bands at the bottom, loud is white."""
    shades = _shades(log_mel_TM, float(log_mel_TM.min()), float(log_mel_TM.max()))
    return grey_png(_enlarged(shades))


def rows_png(values_TC: FloatArray) -> bytes:
    """Grey PNG of (T, C): time to the right, column 0 at the bottom, each over its own range."""
    low_C, high_C = values_TC.min(axis=0), values_TC.max(axis=0)
    return grey_png(
        _enlarged(_shades((values_TC - low_C) / np.maximum(high_C - low_C, 1e-6), 0, 1))
    )


def pairs_png(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> bytes:
    """Grey PNG of spectrograms (T, M) side by side, each above another of the same shape.

    The two of a pair share their shades: equal grey is equal power.
    """
    columns = []
    for above_TM, below_TM in pairs:
        low = float(min(above_TM.min(), below_TM.min()))
        high = float(max(above_TM.max(), below_TM.max()))
        above, below = _shades(above_TM, low, high), _shades(below_TM, low, high)
        gap = np.full((_GAP, above.shape[1]), _GAP_SHADE, np.uint8)
        columns.append(np.concatenate([above, gap, below]))
    height = columns[0].shape[0]
    between = np.full((height, _GAP), _GAP_SHADE, np.uint8)
    parts = [part for column in columns for part in (column, between)][:-1]
    return grey_png(_enlarged(np.concatenate(parts, axis=1), 2 * _SIDE))


def _shades(values_TM: FloatArray, low: float, high: float) -> NDArray[np.uint8]:
    """(M, T): column 0 at the bottom, `low` black and `high` white."""
    shades_MT = (values_TM.T[::-1] - low) * (255 / max(high - low, 1e-6))
    return shades_MT.astype(np.uint8)


def _enlarged(pixels_HW: NDArray[np.uint8], side: int = _SIDE) -> NDArray[np.uint8]:
    """The shorter side has at least `side` pixels."""
    factor = max(1, -(-side // min(pixels_HW.shape)))
    return pixels_HW.repeat(factor, axis=0).repeat(factor, axis=1)


def grey_png(pixels_HW: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey PNG of uint8 (H, W)."""
    height, width = pixels_HW.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = np.pad(pixels_HW, ((0, 0), (1, 0)))  # each row begins with its filter: 0, none
    body = zlib.compress(rows.tobytes())
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
