"""Features of a text for a small classifier. Standard library and numpy."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from loretta_framework.api.protocols import FloatArray

SHAPE = (1, 16, 32)
"""(channels, height, width) of the features; the order of the 512 cells means nothing."""


def trigram_features(text: str) -> FloatArray:
    """float32 (1, 16, 32): log(1 + count) of the text's hashed character trigrams.

    Case is ignored and the ends count as spaces. crc32, because Python's own hash of a string
    differs from process to process.
    """
    padded = f" {text.lower()} "
    counts_N = np.zeros(int(np.prod(SHAPE)), np.float32)
    for start in range(len(padded) - 2):
        trigram = padded[start : start + 3].encode("utf-8", "surrogatepass")
        counts_N[crc32(trigram) % counts_N.size] += 1
    return np.log1p(counts_N).reshape(SHAPE)
