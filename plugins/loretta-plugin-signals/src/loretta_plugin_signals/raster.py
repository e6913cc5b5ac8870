"""Smooth lines and small letters on a white picture, and PNG bytes of it. Numpy and zlib only.

Axes: H rows, W columns, P points of a line (x, y) in pixels, y downwards.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from loretta_plugin_signals.recording import Doubles

FINE = 3
"""Lines are drawn on a grid this much finer, and its dots counted: smooth edges."""

Colour = tuple[int, int, int]

_ROWS = (  # five rows of three dots a letter, each row an octal digit
    "075557 126227 271747 371317 455711 574717 674757 771122 875757 975717 A25755 B65656 C34443 "
    "D65556 E74647 F74644 G34553 H55755 I72227 J11152 K55655 L44447 M57755 N65555 O25552 P65644 "
    "Q25563 R65655 S34716 T72222 U55557 V55552 W55775 X55255 Y55222 Z71247 -00700 +02720 .00002 "
    "_00007 /11244 :02020 (12221 )42224 %51245 =07070 ?71202"
)
GLYPHS = {word[0]: [int(row) for row in word[1:]] for word in _ROWS.split()} | {" ": [0] * 5}


class Picture:
    """An RGB picture to draw on."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels_HWC: NDArray[np.float32] = np.full((height, width, 3), 255, dtype=np.float32)

    def line(self, points_P2: Doubles, colour: Colour, thickness: float = 1.6) -> None:
        """Draw straight lines from point to point; a single point is a dot."""
        height, width, _ = self.pixels_HWC.shape
        margin = thickness + 1
        low = np.floor(points_P2.min(axis=0) - margin).astype(int).clip(0, (width, height))
        high = np.ceil(points_P2.max(axis=0) + margin).astype(int).clip(0, (width, height))
        if (high <= low).any():
            return
        columns, rows = ((high - low) * FINE).tolist()
        radius = thickness * FINE / 2
        reach = int(radius)
        place_P2 = np.floor(_between((points_P2 - low) * FINE)).astype(int)
        inside_P = ((place_P2 >= -reach) & (place_P2 < (columns + reach, rows + reach))).all(axis=1)
        centres = np.zeros((rows + 2 * reach, columns + 2 * reach), dtype=bool)
        centres[place_P2[inside_P, 1] + reach, place_P2[inside_P, 0] + reach] = True
        fine = np.zeros((rows, columns), dtype=bool)
        for down in range(2 * reach + 1):
            for across in range(2 * reach + 1):
                if (across - reach) ** 2 + (down - reach) ** 2 <= radius**2:
                    fine |= centres[down : down + rows, across : across + columns]
        blocks = fine.reshape(high[1] - low[1], FINE, high[0] - low[0], FINE)
        cover_HW1 = blocks.mean(axis=(1, 3), dtype=np.float32)[..., None]
        area = self.pixels_HWC[low[1] : high[1], low[0] : high[0]]
        area += cover_HW1 * (np.array(colour, dtype=np.float32) - area)

    def fill(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        """Paint a rectangle; right and bottom are left out."""
        self.pixels_HWC[top:bottom, left:right] = colour

    def text(self, left: int, top: int, text: str, colour: Colour, dot: int = 2) -> int:
        """Write a line of letters, each 3 x 5 dots; return its width in pixels."""
        for place, letter in enumerate(text.upper()):
            for row, bits in enumerate(GLYPHS.get(letter, GLYPHS["?"])):
                for column in range(3):
                    if bits >> (2 - column) & 1:
                        x, y = left + (place * 4 + column) * dot, top + row * dot
                        self.fill(x, y, x + dot, y + dot, colour)
        return (len(text) * 4 - 1) * dot

    def png(self) -> bytes:
        """The picture as a PNG file."""
        height, width, _ = self.pixels_HWC.shape
        bytes_HWC = np.round(self.pixels_HWC).clip(0, 255).astype(np.uint8)
        rows = np.insert(bytes_HWC.reshape(height, -1), 0, 0, axis=1)  # 0: no row filter
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def _between(points_P2: Doubles) -> Doubles:
    """The points with so many between them that no dot is missed."""
    if len(points_P2) == 1:
        return points_P2
    distances_P = np.abs(np.diff(points_P2, axis=0)).max(axis=1)
    counts_P = np.maximum(1, np.ceil(distances_P)).astype(int)
    segment = np.repeat(np.arange(len(counts_P)), counts_P)
    part = (np.arange(len(segment)) - np.repeat(np.cumsum(counts_P) - counts_P, counts_P))[:, None]
    steps_P2 = np.diff(points_P2, axis=0)[segment] / counts_P[segment, None]
    return np.concatenate([points_P2[segment] + part * steps_P2, points_P2[-1:]])
