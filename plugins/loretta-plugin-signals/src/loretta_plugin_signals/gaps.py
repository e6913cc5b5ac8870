"""Missing values and missing rows: short gaps are interpolated, long ones refused.

Axes: S recorded steps, C channels.
"""

from __future__ import annotations

import numpy as np

from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.settings import SeriesSettings

LONG_STEP = 4.0
"""Times of this many median steps are a gap: rows are missing. Below it steps are merely uneven."""


def refuse_holes(times_S: Doubles, values_SC: Doubles, settings: SeriesSettings) -> None:
    """Refuse times that leap over more than `max_gap` steps; between two strokes they may.

    Raises:
        ValueError: names the rows.
    """
    steps_S = np.diff(times_S)
    if not len(steps_S):
        return
    median = float(np.median(steps_S))
    # The smallest excess is half a step, so that times written with few digits are not counted.
    missing_S = np.floor(np.minimum(steps_S / median, 2.0**53) - 0.5)
    refused_S = (steps_S > LONG_STEP * median) & (missing_S > settings.max_gap)
    if settings.pen_index is not None:
        refused_S &= values_SC[1:, settings.pen_index] != 1
    if refused_S.any():
        row = int(np.argmax(refused_S))
        text = f"at most {settings.max_gap} (setting max_gap), but are {int(missing_S[row])}"
        raise ValueError(
            f"times: missing steps in a row must be {text} between rows {row + 1} and {row + 2}, "
            f"at {times_S[row]:g} and {times_S[row + 1]:g} s from the start, where a step is {median:g} s"
        )


def fill_gaps(times_S: Doubles, values_SC: Doubles, settings: SeriesSettings) -> Doubles:
    """Values with gaps of at most `max_gap` steps interpolated, and held at both ends.

    Raises:
        ValueError: a gap is longer, or a channel has no values.
    """
    missing_SC = np.isnan(values_SC)
    if not missing_SC.any():
        return values_SC
    filled_SC = values_SC.copy()
    for channel, name in enumerate(settings.names):
        missing_S = missing_SC[:, channel]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], missing_S, [False]])))
        longest = int((edges[1::2] - edges[::2]).max(initial=0))
        if missing_S.all():
            raise ValueError(f"channel {name!r} must hold a value, but all are missing")
        if longest > settings.max_gap:
            text = f"at most {settings.max_gap} (setting max_gap), but are {longest}"
            raise ValueError(f"channel {name!r}: missing steps in a row must be {text}")
        known_S = ~missing_S
        filled_SC[:, channel] = np.interp(times_S, times_S[known_S], values_SC[known_S, channel])
    return filled_SC
