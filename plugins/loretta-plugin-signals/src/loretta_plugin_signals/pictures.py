"""Pictures of a series: channels as lines in lanes, and the path of channels x and y.

Axes: S steps, C channels.
"""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_signals.raster import Colour, Picture
from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.settings import SeriesSettings

GREY: Colour = (128, 134, 145)
FRAME: Colour = (226, 229, 234)
COLOURS: tuple[Colour, ...] = (
    (31, 111, 180),
    (214, 96, 20),
    (34, 139, 74),
    (170, 52, 120),
    (110, 84, 190),
    (150, 112, 20),
)
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 120, 12, 8, 24
MOST_LANES = 32
SIDE = 256


def draw_lines(value_SC: FloatArray, settings: SeriesSettings) -> bytes:
    """A PNG with a lane for each channel (the first 32), its lowest and highest at its left."""
    names = settings.names[:MOST_LANES]
    lane = int(np.clip(480 // len(names), 32, 120))
    picture = Picture(WIDTH, TOP + lane * len(names) + BOTTOM)
    for channel, name in enumerate(names):
        value_S = value_SC[:, channel].astype(np.float64)
        low, high = (0.0, 1.0) if name == settings.pen else (value_S.min(), value_S.max())
        top = TOP + channel * lane
        _label(picture, (name, float(low), float(high)), top, lane, COLOURS[channel % len(COLOURS)])
        x_S, y_S = _envelope(value_S, WIDTH - RIGHT - LEFT)
        height_S = (y_S - low) / (high - low) if high > low else np.full_like(y_S, 0.5)
        points_S2 = np.stack([LEFT + x_S, top + 5 + (1 - height_S) * (lane - 12)], axis=1)
        picture.line(points_S2, COLOURS[channel % len(COLOURS)])
    bottom = TOP + lane * len(names) + 8
    picture.text(LEFT, bottom, "0", GREY)
    end = f"{len(value_SC) - 1} steps"
    if settings.rate is not None:
        end = f"{(len(value_SC) - 1) / settings.rate:.4g} s"
    picture.text(WIDTH - RIGHT - (len(end) * 4 - 1) * 2, bottom, end, GREY)
    if len(settings.names) > MOST_LANES:
        note = f"and {len(settings.names) - MOST_LANES} more channels"
        picture.text(WIDTH // 2 - len(note) * 4, bottom, note, GREY)
    return picture.png()


def _label(
    picture: Picture, about: tuple[str, float, float], top: int, lane: int, colour: Colour
) -> None:
    """The channel's name and range at the left, a line below."""
    name, low, high = about
    picture.fill(LEFT, top + lane - 1, WIDTH - RIGHT, top + lane, FRAME)
    picture.text(6, top + lane // 2 - 5, name if len(name) <= 8 else f"{name[:7]}.", colour)
    if lane >= 60:
        still = ((low, top + lane // 2 - 5),)
        for number, y in ((high, top + 6), (low, top + lane - 17)) if high > low else still:
            text = f"{number:.3g}"
            picture.text(LEFT - 6 - (len(text) * 4 - 1) * 2, y, text, GREY)


def _envelope(value_S: Doubles, width: int) -> tuple[Doubles, Doubles]:
    """x in 0..width and y of a line; of long series only the extremes in each half pixel."""
    steps = len(value_S)
    x_S = np.linspace(0, width - 1, steps) if steps > 1 else np.array([width / 2])
    if steps <= 4 * width:
        return x_S, value_S
    starts = np.linspace(0, steps, 2 * width, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(value_S, starts), np.maximum.reduceat(value_S, starts)
    return np.repeat(x_S[starts], 2), np.stack([low, high], axis=1).ravel()


def draws_path(settings: SeriesSettings) -> bool:
    """Whether the channels are x, y and perhaps the pen: then a series is a path in the plane."""
    return set(settings.names) - {settings.pen} == {"x", "y"}


def draw_path(value_SC: FloatArray, settings: SeriesSettings) -> bytes:
    """A PNG of the path from x to y, light where it begins and dark where it ends."""
    points_S2 = _placed(value_SC, settings)
    steps = len(points_S2)
    begins_S = np.zeros(steps, dtype=bool)
    if settings.pen_index is not None:
        begins_S = value_SC[:, settings.pen_index] > 0.5
    begins_S[0] = True
    picture = Picture(SIDE, SIDE)
    starts = np.flatnonzero(begins_S)
    for start, end in zip(starts, [*starts[1:], steps], strict=True):
        stretch = max(1, (end - start) // 16)
        for first in range(start, max(end - 1, start + 1), stretch):
            shade = first / max(1, steps - 1)
            light, dark = np.array((120, 178, 232)), np.array((16, 44, 92))
            red, green, blue = (int(part) for part in light + shade * (dark - light))
            last = min(first + stretch + 1, end)
            picture.line(points_S2[first:last], (red, green, blue), thickness=5)
    picture.line(points_S2[:1], (214, 96, 20), thickness=9)
    return picture.png()


def _placed(value_SC: FloatArray, settings: SeriesSettings) -> Doubles:
    """(S, 2) x and y in pixels, one scale for both, in the middle of the picture."""
    columns = [settings.names.index("x"), settings.names.index("y")]
    points_S2 = value_SC[:, columns].astype(np.float64)
    if settings.y_axis == "up":
        points_S2[:, 1] *= -1
    low_2, high_2 = points_S2.min(axis=0), points_S2.max(axis=0)
    span = float((high_2 - low_2).max()) or 1.0
    room = SIDE - 40
    return np.asarray((points_S2 - (low_2 + high_2) / 2) / span * room + SIDE / 2)
