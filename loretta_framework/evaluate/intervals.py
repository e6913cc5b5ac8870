"""Figures with 95 % bootstrap intervals over independent units (test samples, never tokens).

N units, K columns, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
_TAIL = (1.0 - LEVEL) / 2

Figure = dict[str, Any]
"""{"value": float, "interval": [low, high]}, plain data for the evaluation file."""


def figure(value: float, low: float, high: float) -> Figure:
    """A figure with its interval."""
    return {"value": float(value), "interval": [float(low), float(high)]}


def bootstrap(
    columns_NK: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    draw: np.random.Generator,
    resamples: int = 1000,
) -> Figure:
    """A statistic of the column means, with a percentile interval over resampled units.

    Args:
        columns_NK: one row per unit, (N, K) with N >= 1.
        statistic: column means (K,) -> figure.
        draw: makes the resamples.
        resamples: their number.

    Raises:
        ValueError: there are no units.
    """
    table_NK = np.asarray(columns_NK, dtype=np.float64)
    count = len(table_NK)
    if count == 0:
        raise ValueError("a figure must rest on at least one unit, but there are none")
    values_R = [
        statistic(table_NK[draw.integers(0, count, size=count)].mean(axis=0))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values_R, [_TAIL, 1.0 - _TAIL])
    return figure(statistic(table_NK.mean(axis=0)), low, high)


def mean(values_N: ArrayLike, draw: np.random.Generator, resamples: int = 1000) -> Figure:
    """The mean of the units."""
    values_N1 = np.asarray(values_N, dtype=np.float64)[:, None]
    return bootstrap(values_N1, lambda means_K: float(means_K[0]), draw, resamples)


def ratio(
    above_N: ArrayLike, below_N: ArrayLike, draw: np.random.Generator, resamples: int = 1000
) -> Figure:
    """Sum over units of one quantity by the sum of another, for example nats by tokens."""
    columns_NK = np.stack([np.asarray(above_N, float), np.asarray(below_N, float)], axis=1)
    return bootstrap(columns_NK, lambda m_K: float(m_K[0] / m_K[1]), draw, resamples)


def proportion(values_N: ArrayLike, draw: np.random.Generator, resamples: int = 1000) -> Figure:
    """The mean of units in [0, 1].

    Where all units agree on 0 or on 1, resampling shows no spread at all; the exact binomial bound
    is given instead, or 20 hits out of 20 would be claimed to be certain.
    """
    found = mean(values_N, draw, resamples)
    margin = _TAIL ** (1.0 / len(np.asarray(values_N)))
    if found["value"] == 1.0:
        return figure(1.0, margin, 1.0)
    if found["value"] == 0.0:
        return figure(0.0, 0.0, 1.0 - margin)
    return found
