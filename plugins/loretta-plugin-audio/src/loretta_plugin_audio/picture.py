"""A spectrogram as a PNG, written here: sound should not need an imaging library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.protocols import FloatArray

_SIDE = 128


def spectrogram_png(log_mel_TM: FloatArray) -> bytes:
    """Grey PNG of (T, M): time to the right, low bands at the bottom, loud is white."""
    low, high = float(log_mel_TM.min()), float(log_mel_TM.max())
    shades = (log_mel_TM.T[::-1] - low) * (255 / max(high - low, 1e-6))
    factor = max(1, -(-_SIDE // min(shades.shape)))
    pixels_HW = shades.astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    return grey_png(pixels_HW)


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
