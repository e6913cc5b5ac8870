"""Quantile bins of each feature. Axes: N rows, F features, B bins, C = B - 1 cuts between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import FloatArray, IntArray

_FARTHEST = 10.0
"""Standard deviations beyond which `standardised` does not tell outliers apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """The fitted state.

    Attributes:
        cuts_FC: a value belongs to the bin whose number is that of the cuts at or below it.
            Ascending; cuts that coincide, or are infinite, leave bins empty.
        bins_3FB: median, lower and upper end of each bin. A bin that was empty in training has
            those of the nearest one that was not. NaN for a feature that was never measured.
        spread_2F: mean and standard deviation; NaN for a feature that was never measured.
    """

    cuts_FC: FloatArray
    bins_3FB: FloatArray
    spread_2F: FloatArray

    def encode(self, values_F: FloatArray) -> IntArray:
        """int64 (F,): the bin of each value; B where it is missing or was never measured."""
        ids_F = (values_F[:, None] >= self.cuts_FC).sum(axis=1, dtype=np.int64)
        unknown_F = np.isnan(values_F) | np.isnan(self.spread_2F[0])
        return np.where(unknown_F, np.int64(self.bins_3FB.shape[2]), ids_F)

    def decode(self, ids_F: IntArray) -> FloatArray:
        """float32 (3, F): median, lower and upper end of each bin; NaN for the id B."""
        count = self.bins_3FB.shape[2]
        rows_F = np.arange(len(ids_F))
        found_3F = self.bins_3FB[:, rows_F, np.minimum(ids_F, count - 1)]
        return np.where(ids_F == count, np.float32(np.nan), found_3F)

    def standardised(self, values_F: FloatArray) -> FloatArray:
        """float32 (F,): z-scores within -10..10; 0 where a feature is missing or constant."""
        mean_F, deviation_F = self.spread_2F.astype(np.float64)
        varies_F = deviation_F > 0
        score_F = (values_F - mean_F) / np.where(varies_F, deviation_F, 1.0)
        known_F = varies_F & ~np.isnan(values_F)
        return np.where(known_F, score_F, 0).clip(-_FARTHEST, _FARTHEST).astype(np.float32)


def fit_quantiles(values_NF: FloatArray, count: int) -> tuple[Quantiles, IntArray]:
    """`count` bins for each feature, and int64 (F,): how many of them hold a value of these rows."""
    features = values_NF.shape[1]
    cuts_FC = np.zeros((features, count - 1), np.float32)
    bins_3FB = np.full((3, features, count), np.nan, np.float32)
    spread_2F = np.full((2, features), np.nan, np.float32)
    used_F = np.zeros(features, np.int64)
    for feature, column_N in enumerate(values_NF.T):
        present_N = column_N[~np.isnan(column_N)]
        if len(present_N):
            cuts_FC[feature] = cuts_C = _cuts(present_N, count)
            bins_3FB[:, feature], used_F[feature] = _bins(present_N, cuts_C)
            wide_N = present_N.astype(np.float64)
            spread_2F[:, feature] = wide_N.mean(), wide_N.std()
    return Quantiles(cuts_FC, bins_3FB, spread_2F), used_F


def _cuts(values_N: FloatArray, count: int) -> FloatArray:
    """Cuts between distinct values, as near as can be to equal shares of the rows.

    Equal values stay together: a cut that would part them moves to their nearer end, so a value
    that fills half of the rows gets a bin of its own, in the middle of those that it covers.
    """
    distinct_U, counts_U = np.unique(values_N, return_counts=True)
    ranks_V = np.concatenate([[0], np.cumsum(counts_U)])  # rows below each gap, ends included
    wanted_C = np.arange(1, count) * len(values_N) / count
    gap_C = np.searchsorted((ranks_V[1:] + ranks_V[:-1]) / 2, wanted_C, side="right")
    below_U, above_U = distinct_U[:-1], distinct_U[1:]
    middle_U = ((below_U.astype(np.float64) + above_U) / 2).astype(np.float32)
    # Between neighbouring floats there is no middle: the cut then is the upper one.
    middle_U = np.where(middle_U > below_U, middle_U, above_U)
    infinity = np.array([np.inf], np.float32)
    cuts_V: FloatArray = np.concatenate([-infinity, middle_U, infinity])
    return cuts_V[gap_C]


def _bins(values_N: FloatArray, cuts_C: FloatArray) -> tuple[FloatArray, int]:
    """float32 (3, B) median, lower and upper ends, and the number of bins that hold a value."""
    ids_N = np.searchsorted(cuts_C, values_N, side="right")
    used_K = np.unique(ids_N)
    ends_V = np.concatenate([[values_N.min()], cuts_C, [values_N.max()]])
    ends_V = ends_V.clip(values_N.min(), values_N.max())
    found_3K = np.empty((3, len(used_K)), np.float32)
    for place, used in enumerate(used_K):
        found_3K[0, place] = np.median(values_N[ids_N == used].astype(np.float64))
        found_3K[1:, place] = ends_V[used], ends_V[used + 1]
    nearest_B = np.abs(np.arange(len(cuts_C) + 1)[:, None] - used_K).argmin(axis=1)
    return found_3K[:, nearest_B], len(used_K)


def explained(values_NF: FloatArray, restored_NF: FloatArray) -> float:
    """Part of the variance that survives binning, averaged over the features that vary; 1 is best."""
    wide_NF = values_NF.astype(np.float64)
    known_NF: NDArray[np.bool_] = ~np.isnan(wide_NF)
    rows_F = np.maximum(known_NF.sum(axis=0), 1)
    mean_F = np.where(known_NF, wide_NF, 0).sum(axis=0) / rows_F
    total_F = np.where(known_NF, (wide_NF - mean_F) ** 2, 0).sum(axis=0)
    lost_F = np.where(known_NF, (wide_NF - restored_NF) ** 2, 0).sum(axis=0)
    varies_F = total_F > 0
    return float((1 - lost_F[varies_F] / total_F[varies_F]).mean()) if varies_F.any() else 1.0
