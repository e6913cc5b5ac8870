"""k-means for tokenizers whose codebook is a set of centroids. Numpy only, deterministic.

Axes: N vectors, D values a vector, K centroids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.protocols import FloatArray, IntArray

BLOCK = 4096
"""Vectors whose distances to all centroids are in memory at once."""


def fit_kmeans(
    vectors_ND: FloatArray, k: int, random: np.random.Generator, iterations: int = 30
) -> FloatArray:
    """Centroids by k-means++ and Lloyd's iterations; more iterations never raise the distortion.

    With fewer distinct vectors than `k` the surplus centroids repeat others, so that every id can
    be decoded; `assign` never gives the id of a repetition.

    Args:
        vectors_ND: finite values, N >= 1.
        k: number of centroids.
        random: all randomness comes from here.
        iterations: bound of Lloyd's iterations; it ends earlier when nothing moves.

    Returns:
        float32 (K, D).

    Raises:
        ValueError: there are no vectors, they are not (N, D), not finite, or `k` is below 1.
    """
    vectors_ND = _checked(vectors_ND)
    if k < 1:
        raise ValueError(f"k must be at least 1, but is {k}")
    centroids_KD = _spread(vectors_ND, k, random)
    for _ in range(iterations):
        moved_KD = _step(vectors_ND, centroids_KD)
        if np.array_equal(moved_KD, centroids_KD):
            break
        centroids_KD = moved_KD
    return centroids_KD


def assign(vectors_ND: FloatArray, centroids_KD: FloatArray) -> IntArray:
    """int64 (N,): index of the nearest centroid; of equally near ones the lowest."""
    return _nearest(vectors_ND, centroids_KD)[0]


def distortion(vectors_ND: FloatArray, centroids_KD: FloatArray) -> float:
    """Mean squared distance of a vector to its nearest centroid."""
    return float(_nearest(vectors_ND, centroids_KD)[1].mean())


def draw_vectors(
    blocks: Iterable[FloatArray], limit: int, random: np.random.Generator
) -> FloatArray:
    """At most `limit` vectors, drawn uniformly from blocks (n, D) that need not fit in memory.

    Raises:
        ValueError: there are no blocks.
    """
    kept_ND: FloatArray | None = None
    keys_N: NDArray[np.float64] = np.empty(0)
    for block_ND in blocks:
        keys_N = np.concatenate([keys_N, random.random(len(block_ND))])
        kept_ND = block_ND if kept_ND is None else np.concatenate([kept_ND, block_ND])
        if len(kept_ND) > 2 * limit:
            kept_ND, keys_N = _smallest(kept_ND, keys_N, limit)
    if kept_ND is None:
        raise ValueError("there must be at least one value to fit on")
    return _smallest(kept_ND, keys_N, limit)[0]


def _smallest(kept_ND: FloatArray, keys_N: Any, limit: int) -> tuple[FloatArray, Any]:
    """The vectors with the smallest keys, in the order they came."""
    chosen = np.sort(np.argsort(keys_N, kind="stable")[:limit])
    return kept_ND[chosen], keys_N[chosen]


def _checked(vectors_ND: FloatArray) -> FloatArray:
    if vectors_ND.ndim != 2 or not vectors_ND.size:
        raise ValueError(f"vectors must be (N, D) with N, D >= 1, but are {vectors_ND.shape}")
    if not np.isfinite(vectors_ND).all():
        raise ValueError("vectors must be finite")
    return np.ascontiguousarray(vectors_ND, np.float32)


def _spread(vectors_ND: FloatArray, k: int, random: np.random.Generator) -> FloatArray:
    """k-means++: each next centroid is a vector drawn in proportion to its squared distance."""
    chosen = [int(random.integers(len(vectors_ND)))]
    nearest_N = np.full(len(vectors_ND), np.inf)
    while len(chosen) < k:
        gaps_ND = vectors_ND - vectors_ND[chosen[-1]]
        squares_N = np.einsum("nd,nd->n", gaps_ND, gaps_ND, dtype=np.float64)
        nearest_N = np.minimum(nearest_N, squares_N)
        sums_N = np.cumsum(nearest_N)
        if sums_N[-1] == 0:  # every vector is a centroid already
            chosen.extend([chosen[0]] * (k - len(chosen)))
            break
        place = np.searchsorted(sums_N, random.random() * sums_N[-1], side="right")
        # Rounding may put the draw on the total; the last vector with a distance takes it.
        chosen.append(int(min(place, np.flatnonzero(nearest_N)[-1])))
    return vectors_ND[chosen]


def _step(vectors_ND: FloatArray, centroids_KD: FloatArray) -> FloatArray:
    """One iteration: means of the clusters; empty ones move to the worst served vectors."""
    ids_N, squares_N = _nearest(vectors_ND, centroids_KD)
    k = len(centroids_KD)
    counts_K = np.bincount(ids_N, minlength=k)
    # bincount adds one after another in float64: the same sums on every machine and thread count.
    sums_DK = [np.bincount(ids_N, weights=column_N, minlength=k) for column_N in vectors_ND.T]
    moved_KD = centroids_KD.copy()
    used = counts_K > 0
    moved_KD[used] = (np.stack(sums_DK, axis=1)[used] / counts_K[used, None]).astype(np.float32)
    worst_N = np.argsort(-squares_N, kind="stable")
    for empty, vector in zip(np.flatnonzero(~used), worst_N, strict=False):
        if squares_N[vector] > 0:
            moved_KD[empty] = vectors_ND[vector]
    return moved_KD


def _nearest(
    vectors_ND: FloatArray, centroids_KD: FloatArray
) -> tuple[IntArray, NDArray[np.float64]]:
    """Ids (N,) and squared distances (N,) to the nearest centroid, block by block.

    Distances are float64: |x|^2 - 2 x.c + |c|^2 loses most of its digits in float32 where the
    vectors lie far from zero and close to each other.
    """
    centroids_DK = centroids_KD.astype(np.float64).T
    lengths_K = np.einsum("dk,dk->k", centroids_DK, centroids_DK)
    ids_N = np.empty(len(vectors_ND), np.int64)
    squares_N = np.empty(len(vectors_ND), np.float64)
    for start in range(0, len(vectors_ND), BLOCK):
        block_ND = vectors_ND[start : start + BLOCK].astype(np.float64)
        scores_NK = lengths_K - 2 * (block_ND @ centroids_DK)
        best_N = scores_NK.argmin(axis=1)
        gaps_ND = block_ND - centroids_DK.T[best_N]
        ids_N[start : start + BLOCK] = best_N
        squares_N[start : start + BLOCK] = np.einsum("nd,nd->n", gaps_ND, gaps_ND)
    return ids_N, squares_N
