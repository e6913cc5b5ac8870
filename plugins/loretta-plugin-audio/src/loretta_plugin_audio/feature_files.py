"""Ready-made features as .npy files. Axes: T frames, C coefficients."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from loretta_framework.api import FloatArray

MAGIC = b"\x93NUMPY"
_HEADER = 4096
"""Bytes that a header may take; numpy's own have 128."""


def read_features(data: bytes, frames: int, coefficients: int) -> FloatArray:
    """float32 (T, C) of a .npy file that holds (T, C), or (T * C,) as the Zenodo records have rows.

    Raises:
        ValueError: no such file, another shape or type, or numbers that are not finite.
    """
    try:
        file = io.BytesIO(data)
        # The header first: an array as large as it claims would be allocated before it is read.
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0}
        headers[2, 0] = np.lib.format.read_array_header_2_0
        shape, _, dtype = headers[version](file, max_header_size=_HEADER)
    except Exception as error:  # numpy lets the errors of Python's own tokenizer through
        raise ValueError(f"features cannot be read: it is no .npy file: {error}") from error
    if shape not in ((frames, coefficients), (frames * coefficients,)):
        raise ValueError(
            f"features must be ({frames}, {coefficients}) or ({frames * coefficients},), "
            f"but are {shape}"
        )
    if dtype.kind != "f":
        raise ValueError(f"features must be floating-point numbers, but are {dtype}")
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"features cannot be read: {error}") from error
    return checked_features(values.reshape(frames, coefficients))


def checked_features(values_TC: Any) -> FloatArray:
    """As float32. Raises `ValueError` when they are not finite."""
    with np.errstate(over="ignore"):
        wanted_TC = np.asarray(values_TC, np.float32)
    if not np.isfinite(wanted_TC).all():
        raise ValueError("features must be finite, but hold NaN or infinite numbers")
    return wanted_TC


def write_features(values_TC: FloatArray) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, values_TC, allow_pickle=False)
    return file.getvalue()
