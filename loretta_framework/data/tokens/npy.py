"""Token ids as npy files of one fixed form, read without numpy's own reader.

A file is numpy's version 1: a header of 128 bytes, then the ids, little endian. `numpy.load` reads
it, but is no reader for files of strangers nor fast enough for one small array after another: here
a header is matched as a whole, and one that differs in a single byte is refused.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from loretta_framework.api.protocols import IntArray

HEADER_BYTES = 128

_FORM = "{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}"
_START = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
_HEADER = re.compile(
    re.escape(_START)
    + rb"\{'descr': '(\|u1|<u2|<i4)', 'fortran_order': False, 'shape': \(([1-9][0-9]{0,9}),\), \} *\n"
)


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest dtype of a token file that holds the ids 0..vocab_size-1."""
    if vocab_size <= 1 << 8:
        return np.dtype("|u1")
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<i4")


def to_npy(ids_T: IntArray, dtype: np.dtype[Any]) -> bytes:
    """The file of ids (T,), T at least 1, all of which `dtype` holds."""
    form = _FORM.format(dtype.str, len(ids_T)).encode()
    header = _START + form.ljust(HEADER_BYTES - len(_START) - 1) + b"\n"
    return header + ids_T.astype(dtype).tobytes()


def tokens_in(header: bytes, dtype: np.dtype[Any]) -> int:
    """How many ids follow the header, the first `HEADER_BYTES` of a file.

    Raises:
        ValueError: it is not a header that `to_npy` writes for this dtype.
    """
    found = _HEADER.fullmatch(header) if len(header) == HEADER_BYTES else None
    if found is None:
        raise ValueError(f"a token file must start with the npy header of {dtype.name} ids (T,)")
    if found[1].decode() != dtype.str:
        raise ValueError(f"its ids must be {dtype.str}, but are {found[1].decode()}")
    return int(found[2])
