"""Which frames of a file a clip is made of. Numbers only, no decoding."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

from loretta_plugin_video.settings import ClipSettings

HALF = Fraction(1, 2)


def chosen(ticks: Sequence[int], total: int, tick: Fraction, settings: ClipSettings) -> list[int]:
    """Numbers of the frames to take, `settings.frames` of them, in order.

    Args:
        ticks: when each frame is first shown, ascending.
        total: how long all of them are shown.
        tick: seconds of a tick.
        settings: how to choose.

    Raises:
        ValueError: there are more or fewer frames, and the settings say that this is an error; or the
            frames' own times say that it lasts longer than `max_seconds`.
    """
    seconds = float(total * tick)  # a header may say less
    if seconds > settings.max_seconds:
        raise ValueError(
            f"it must last at most {settings.max_seconds:g} s, but its frames last {seconds:g} s"
        )
    if settings.fps is None:
        found = list(range(0, len(ticks), settings.every))
    else:
        found = _at_a_rate(ticks, total, tick, settings.fps)
    return fitted(found, settings)


def fitted(found: Sequence[int], settings: ClipSettings) -> list[int]:
    """As many as a clip has: cut or held as the settings say. Raises `ValueError` if they forbid it."""
    wanted, taken = settings.frames, list(found)
    if len(taken) > wanted:
        if settings.too_long == "error":
            raise ValueError(_wrong(len(taken), settings, "too_long: crop keeps a part"))
        first = (len(taken) - wanted) // 2 if settings.crop == "middle" else 0
        return taken[first : first + wanted]
    if len(taken) < wanted:
        if settings.too_short == "error" or not taken:
            raise ValueError(_wrong(len(taken), settings, "too_short: hold repeats the last"))
        return taken + taken[-1:] * (wanted - len(taken))
    return taken


def _wrong(count: int, settings: ClipSettings, help_: str) -> str:
    rate = f" at {settings.fps:g} a second" if settings.fps is not None else ""
    return f"it must have {settings.frames} frames{rate}, but has {count} ({help_})"


def _at_a_rate(ticks: Sequence[int], total: int, tick: Fraction, fps: float) -> list[int]:
    rate = Fraction(fps).limit_denominator(100_000)
    count = max(1, int(total * tick * rate + HALF)) if ticks else 0
    # A tick is what times are rounded to: without half of one, 1/15 s of a file that counts
    # milliseconds comes before its own frame at 67 ms.
    per_frame = 1 / (rate * tick)
    starts = [ticks[0] + number * per_frame + HALF for number in range(count)]
    return [bisect_right(ticks, start) - 1 for start in starts]
