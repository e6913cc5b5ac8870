"""Missing values: short gaps are interpolated, long ones refused.

Axes: S recorded steps, C channels.
"""

from __future__ import annotations

import numpy as np

from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.settings import SeriesSettings


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
        if longest > settings.max_gap or missing_S.all():
            text = f"at most {settings.max_gap} (setting max_gap), but are {longest}"
            raise ValueError(f"channel {name!r}: missing steps in a row must be {text}")
        known_S = ~missing_S
        filled_SC[:, channel] = np.interp(times_S, times_S[known_S], values_SC[known_S, channel])
    return filled_SC
