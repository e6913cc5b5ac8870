"""The hash by which samples of different stores are compared. Standard library and numpy."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def key_hash(key: bytes) -> int:
    """64-bit hash of a key's UTF-8 bytes: the first 8 of its BLAKE2b, little endian.

    The same for every kind of store, so that a sample that lies in two sets is found without
    holding the keys themselves. Python's own hash differs from process to process.
    """
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")


def key_hashes(keys: Iterable[str]) -> NDArray[np.uint64]:
    """uint64 (S,): the hashes of the keys."""
    return np.fromiter((key_hash(key.encode()) for key in keys), np.uint64)
