"""Do generations vary within a class as real samples do? A mode-collapsed model is caught here.

N samples, D features, S independent units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.protocols import IntArray
from loretta_framework.evaluate.intervals import Figure, figure

Matrix = NDArray[np.float32]
RESAMPLES = 100


def within_class_variance(features_ND: Matrix, classes_N: IntArray) -> float:
    """Mean over classes of the total (summed over features) unbiased variance; NaN without any.

    Classes with fewer than two samples have none.
    """
    spreads = []
    for label in np.unique(classes_N):
        members_nD = features_ND[classes_N == label]
        if len(members_nD) > 1:
            spreads.append(float(members_nD.var(axis=0, ddof=1, dtype=np.float64).sum()))
    return float(np.mean(spreads)) if spreads else float("nan")


def variance_ratio(
    made_ND: Matrix,
    made_classes_N: IntArray,
    made_units_N: IntArray,
    real_ND: Matrix,
    real_classes_N: IntArray,
    draw: np.random.Generator,
) -> Figure | None:
    """Within-class variance of generations by that of real samples; None when it is not defined.

    Args:
        made_ND: features of generations.
        made_classes_N: class of each one's source.
        made_units_N: index of each one's source; sources are what is resampled.
        real_ND: features of real samples.
        real_classes_N: their classes.
        draw: makes the resamples.
    """
    base = within_class_variance(real_ND, real_classes_N)
    value = within_class_variance(made_ND, made_classes_N)
    if not (base > 0 and np.isfinite(value)):
        return None
    rows_of = [np.flatnonzero(made_units_N == unit) for unit in np.unique(made_units_N)]
    found = []
    for _ in range(RESAMPLES):
        units = draw.integers(0, len(rows_of), size=len(rows_of))
        made = np.concatenate([rows_of[unit] for unit in units])
        real = draw.integers(0, len(real_ND), size=len(real_ND))
        below = within_class_variance(real_ND[real], real_classes_N[real])
        above = within_class_variance(made_ND[made], made_classes_N[made])
        if below > 0 and np.isfinite(above):
            found.append(above / below)
    low, high = np.quantile(found or [value / base], [0.025, 0.975])
    return figure(value / base, low, high)


def token_histograms(tokens: Sequence[IntArray], vocab_size: int) -> Matrix:
    """float32 (N, V), the share of each id in each segment."""
    counts_NV = np.stack([np.bincount(ids_T, minlength=vocab_size) for ids_T in tokens])
    shares_NV: Matrix = (counts_NV / counts_NV.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares_NV
