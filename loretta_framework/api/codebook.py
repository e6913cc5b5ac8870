"""The fitted state of a tokenizer whose ids name vectors: fit, save, load, look up. Numpy only.

Axes: N vectors, D values a vector, K codes.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api.ids import checked_ids
from loretta_framework.api.kmeans import assign, distortion, draw_vectors, fit_kmeans
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.api.random import generator

CODES_FILE = "codebook.npy"
ABOUT_FILE = "codebook.json"
MAX_VECTORS = 32_768
"""Vectors that a fit looks at; of more it draws this many."""


class Codebook:
    """K vectors of D values, learned by k-means.

    Args:
        codes: K.
        dimensions: D.
        about: what the vectors mean (settings that must agree when a saved codebook is loaded).
    """

    def __init__(self, codes: int, dimensions: int, about: Mapping[str, Any]) -> None:
        self._shape = (codes, dimensions)
        self._about = json.loads(json.dumps(dict(about)))
        self._codes_KD: FloatArray | None = None

    def fit(self, blocks: Iterable[FloatArray], seed: int) -> dict[str, float]:
        """Learn from blocks of vectors (n, D).

        Returns:
            `vectors` looked at, `distortion` (mean squared distance), `explained` (part of the
            variance that survives, 1 is best) and `codes_used`.

        Raises:
            ValueError: there are no vectors, or they are not finite.
        """
        vectors_ND = draw_vectors(blocks, MAX_VECTORS, generator(seed, "codebook/draw"))
        codes_KD = fit_kmeans(vectors_ND, self._shape[0], generator(seed, "codebook/fit"))
        self._codes_KD = codes_KD
        error = distortion(vectors_ND, codes_KD)
        variance = float(vectors_ND.var(axis=0, dtype=np.float64).sum())
        return {
            "vectors": float(len(vectors_ND)),
            "distortion": error,
            "explained": 1 - error / variance if variance else 1.0,
            "codes_used": float(len(np.unique(assign(vectors_ND, codes_KD)))),
        }

    def encode(self, vectors_ND: FloatArray) -> IntArray:
        """int64 (N,): the nearest code of each vector. Raises `ValueError` before the fit."""
        return assign(vectors_ND, self._codes())

    def decode(self, ids_N: IntArray) -> FloatArray:
        """float32 (N, D): the vectors of the codes.

        Raises:
            ValueError: the codebook is not fitted, or ids are not integers in 0..K-1.
        """
        return self._codes()[checked_ids(ids_N, self._shape[0])]

    def save(self, directory: Path) -> None:
        """Write the codes and what they mean. Raises `ValueError` before the fit."""
        codes = io.BytesIO()
        np.save(codes, self._codes(), allow_pickle=False)
        about = json.dumps(self._about, indent=1, sort_keys=True)
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in ((CODES_FILE, codes.getvalue()), (ABOUT_FILE, about.encode())):
            aside = directory / f"{name}.tmp"
            aside.write_bytes(data)
            os.replace(aside, directory / name)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: a file is missing or damaged, or belongs to other settings.
        """
        try:
            about = json.loads((directory / ABOUT_FILE).read_text("utf-8"))
            with (directory / CODES_FILE).open("rb") as file:
                codes_KD = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{directory}: the codebook cannot be read: {error}") from error
        if about != self._about:
            text = (
                f"it was fitted for {about}, but the settings ask for {self._about}; fit it again"
            )
            raise ValueError(f"{directory}: {text}")
        if not isinstance(codes_KD, np.ndarray) or codes_KD.dtype != np.float32:
            raise ValueError(f"{directory}: the codebook must be one float32 array")
        if codes_KD.shape != self._shape or not np.isfinite(codes_KD).all():
            text = f"must be finite and {self._shape}, but is {codes_KD.shape}"
            raise ValueError(f"{directory}: the codebook {text}")
        self._codes_KD = codes_KD

    def _codes(self) -> FloatArray:
        if self._codes_KD is None:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._codes_KD
