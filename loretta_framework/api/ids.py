"""The check every `decode` starts with. Numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.api.protocols import IntArray


def checked_ids(ids: Any, vocab_size: int) -> IntArray:
    """ids as int64 (T,).

    Raises:
        ValueError: they are not integers, not one axis, or not within 0..vocab_size-1.
    """
    ids_T = np.asarray(ids)
    if ids_T.ndim != 1 or not np.issubdtype(ids_T.dtype, np.integer):
        raise ValueError(f"ids must be integers (T,), but are {ids_T.dtype} {ids_T.shape}")
    if ids_T.size and (ids_T.min() < 0 or ids_T.max() >= vocab_size):
        text = f"but span {ids_T.min()}..{ids_T.max()}"
        raise ValueError(f"ids must lie in 0..{vocab_size - 1}, {text}")
    return ids_T.astype(np.int64)
