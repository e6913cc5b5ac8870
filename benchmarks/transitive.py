"""The data of the transitive benchmark: image-text and text-speech pairs, every segment n tokens long.

Of a pair the text is the link: what is missing is made from it, n tokens after n, and a row of
training is the generated segment and the real one. B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.tokens import FIRST, Ids

NAMES = ("image", "text", "speech")
PAIRS = (("image", "text"), ("text", "speech"))


def content(shape: dict[str, Any]) -> int:
    """Ids of each modality."""
    return int((shape["vocabulary"] - FIRST) // len(NAMES))


def batches(shape: dict[str, Any], seed: int = 0) -> Iterator[tuple[Ids, Ids]]:
    """(link (B, T), real (B, T)) of each step, local ids, without end; rows 0, 2, ... of PAIRS[0].

    Every segment walks its own permutation, half of its steps at random, so that losses fall.
    """
    batch, tokens, ids = shape["batch"], shape["segment"], content(shape)
    following = np.random.default_rng(ids).permutation(ids)
    number = 0
    while True:
        random = np.random.default_rng([seed, number])
        noise_2BT = random.integers(0, ids, (2, batch, tokens))
        known_2BT = random.random((2, batch, tokens)) < 0.5
        for place in range(1, tokens):
            known = following[noise_2BT[..., place - 1]]
            noise_2BT[..., place] = np.where(known_2BT[..., place], known, noise_2BT[..., place])
        yield noise_2BT[0].astype(np.int64), noise_2BT[1].astype(np.int64)
        number += 1
