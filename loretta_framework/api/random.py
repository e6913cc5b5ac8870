"""Counter-based randomness: a draw is a function of its key, never of what was drawn before.

A stream that is read one after another gives other numbers as soon as a rank, a worker or another
objective reads from it too, and cannot be restored in the middle of a step. Here every consumer
names what the draw is for (seed, purpose, step, sample, ...), so any layout of ranks and workers,
and any restart, sees the same numbers.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def key(*parts: str | int) -> int:
    """A 128-bit key from the parts; types count, so 1 and "1" differ.

    Raises:
        TypeError: a part is neither str nor int (a float's text form is not portable).
    """
    digest = blake2b(digest_size=16)
    for part in parts:
        if not isinstance(part, str | int):
            raise TypeError(f"a key part must be str or int, but is {type(part).__name__}")
        encoded = f"{type(part).__name__}:{part}".encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return int.from_bytes(digest.digest(), "little")


def generator(seed: int, purpose: str, *parts: str | int) -> np.random.Generator:
    """A fresh numpy generator (Philox) for this key.

    Args:
        seed: the run's seed.
        purpose: what the draw decides, for example "causal/order".
        parts: step, sample id, position: whatever tells this draw from the others.
    """
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, *parts)))
