"""Series cut into patches of a few steps.

Axes: S steps, C channels, T patches, P steps of a patch.
"""

from __future__ import annotations

import numpy as np

from loretta_plugin_signals.recording import Doubles


def patches_of(unit_SC: Doubles, patch: int) -> Doubles:
    """(T, P * C), step by step; the last step is held to fill the last patch."""
    lacking = -len(unit_SC) % patch
    full_SC = np.concatenate([unit_SC, np.repeat(unit_SC[-1:], lacking, axis=0)])
    return full_SC.reshape(-1, patch * unit_SC.shape[1])


def steps_of(patches_TD: Doubles, channels: int) -> Doubles:
    """(S, C): the way back of `patches_of`."""
    return patches_TD.reshape(-1, channels)
