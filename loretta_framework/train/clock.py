"""The seam through which a profile learns where the time of a step goes."""

from __future__ import annotations

from typing import Literal, get_args

Phase = Literal["data", "rollout", "forward", "backward", "optimizer", "other"]
"""data: waiting for samples; rollout: rows of objectives that generate; optimizer: reduction over
ranks, clipping and the update; other: rows, layout and report."""

PHASES: tuple[Phase, ...] = get_args(Phase)


class Clock:
    """Told what has just been done. This one does not listen; see `train.profile.StopWatch`."""

    def mark(self, phase: Phase) -> None:
        """The time since the last mark was spent on `phase`."""
