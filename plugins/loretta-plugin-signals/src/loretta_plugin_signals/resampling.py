"""Recorded steps to the steps of a grid: interpolation between them, means where steps get longer.

Axes: S recorded steps, N steps of the grid, C channels. Times in seconds or in recorded steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loretta_plugin_signals.recording import Doubles


def interpolate(times_S: Doubles, values_SC: Doubles, grid_N: Doubles) -> Doubles:
    """(N, C): straight lines between recorded steps; before the first and after the last, held."""
    return np.stack([np.interp(grid_N, times_S, column) for column in values_SC.T], axis=1)


def average(times_S: Doubles, values_SC: Doubles, grid_N: Doubles, width: float) -> Doubles:
    """(N, C): means over `width` around each step of the grid, of the lines between recorded steps.

    A point instead of a mean would turn what is faster than the grid into slow waves (aliasing).
    """
    if len(times_S) == 1:
        return interpolate(times_S, values_SC, grid_N)
    middle_C = values_SC.mean(axis=0)
    centred_SC = values_SC - middle_C
    areas_SC = np.diff(times_S)[:, None] * (centred_SC[1:] + centred_SC[:-1]) / 2
    total_SC = np.concatenate([np.zeros_like(centred_SC[:1]), np.cumsum(areas_SC, axis=0)])

    def integral(at_N: Doubles) -> Doubles:
        left_N = np.clip(np.searchsorted(times_S, at_N, side="right") - 1, 0, len(times_S) - 2)
        ahead_N = (at_N - times_S[left_N])[:, None]
        rise_NC = centred_SC[left_N + 1] - centred_SC[left_N]
        slope_NC = rise_NC / (times_S[left_N + 1] - times_S[left_N])[:, None]
        ahead_NC: Doubles = ahead_N * (centred_SC[left_N] + ahead_N * slope_NC / 2)
        return total_SC[left_N] + ahead_NC

    first_N = np.clip(grid_N - width / 2, times_S[0], times_S[-1])
    last_N = np.clip(grid_N + width / 2, times_S[0], times_S[-1])
    length_N = last_N - first_N
    inside_N = length_N > width * 1e-6
    result_NC = interpolate(times_S, values_SC, grid_N)
    mean_NC = (integral(last_N) - integral(first_N))[inside_N] / length_N[inside_N, None]
    lowest_C, highest_C = values_SC.min(axis=0), values_SC.max(axis=0)
    result_NC[inside_N] = np.clip(mean_NC + middle_C, lowest_C, highest_C)
    return result_NC


def follow_strokes(times_S: Doubles, values_SC: Doubles, grid_N: Doubles, pen: int) -> Doubles:
    """(N, C): as `interpolate`, but no step lies between strokes, and a lift of the pen stays one.

    The pen channel is 1 at the first step of the grid that lies in a later stroke than the last.
    """
    begins_S = values_SC[:, pen] > 0.5
    left_N = np.clip(np.searchsorted(times_S, grid_N, side="right") - 1, 0, len(times_S) - 1)
    right_N = np.minimum(left_N + 1, len(times_S) - 1)
    before_N, after_N = times_S[left_N], times_S[right_N]
    lifted_N = begins_S[right_N] & (right_N > left_N) & (grid_N > before_N)
    nearer_N = np.where(grid_N - before_N < after_N - grid_N, before_N, after_N)
    grid_N = np.where(lifted_N, nearer_N, grid_N)
    result_NC = interpolate(times_S, values_SC, grid_N)
    stroke_N = _stroke(times_S, begins_S, grid_N)
    result_NC[0, pen] = values_SC[0, pen]
    result_NC[1:, pen] = stroke_N[1:] > stroke_N[:-1]
    return result_NC


def _stroke(times_S: Doubles, begins_S: NDArray[np.bool_], grid_N: Doubles) -> NDArray[np.int64]:
    """(N,): number of the stroke that each step of the grid lies in."""
    last_N = np.searchsorted(times_S, grid_N, side="right") - 1
    strokes_S = np.cumsum(begins_S, dtype=np.int64)
    return strokes_S[np.clip(last_N, 0, len(times_S) - 1)]
