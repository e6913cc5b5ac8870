"""Mel bands of a power spectrum, and back. Axes: T frames, F frequencies, M mel bands."""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.api import FloatArray

_POWER_STEPS = 8
_TINY = 1e-8


def mel_filters(rate: int, size: int, bands: int) -> FloatArray:
    """float32 (F, M): triangles of height 1, evenly spaced on the HTK mel scale up to rate / 2."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    places_F1 = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    rising = (places_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places_F1) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


class MelBands:
    """`mel_filters` and the way back."""

    def __init__(self, rate: int, size: int, bands: int) -> None:
        self.filters_FM = mel_filters(rate, size, bands)
        self._back_MF = np.linalg.pinv(self.filters_FM.astype(np.float64)).astype(np.float32)

    def power(self, mel_TM: FloatArray) -> FloatArray:
        """(T, M) >= 0 -> (T, F): powers >= 0 whose mel bands come close to the ones given."""
        # The least-squares answer is negative in places. These steps keep it positive and mend what
        # cutting it off at zero broke (Lee and Seung's updates for non-negative least squares).
        power_TF: Any = np.maximum(mel_TM @ self._back_MF, np.float32(_TINY))
        wanted_TF = mel_TM @ self.filters_FM.T
        for _ in range(_POWER_STEPS):
            reached_TF = (power_TF @ self.filters_FM) @ self.filters_FM.T
            power_TF = power_TF * wanted_TF / np.maximum(reached_TF, np.float32(_TINY))
        return np.asarray(power_TF, np.float32)
