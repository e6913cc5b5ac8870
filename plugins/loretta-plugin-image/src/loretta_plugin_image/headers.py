"""What an image file says of its size, told from its first bytes before any decoder sees it.

Pillow's own look at a WebP builds its decoder, with room for two pictures of the size that the
header claims; its look at a JPEG does not count the passes that a progressive file makes.
"""

from __future__ import annotations

import struct

MAX_SCANS = 100
"""Passes of a JPEG over its pixels: usual ones make 1 to 12, and each costs a whole decoding."""

MAX_TEXTS = 16
"""Compressed texts in a PNG: each may unpack to a megabyte, which Pillow does before the pixels."""

_NO_FRAMES = (0xC4, 0xC8, 0xCC)
_SCAN = b"\xff\xda"


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a PNG, JPEG or WebP, None where the header cannot be made out.

    The beginning of a damaged file may claim anything; who decodes checks again.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None


def count_scans(data: bytes) -> int:
    """Passes of a JPEG; 0 for other files. In its coded data the mark cannot occur."""
    return data.count(_SCAN) if data[:2] == b"\xff\xd8" else 0


def count_texts(data: bytes) -> int:
    """Compressed texts of a PNG, now and then one too many; 0 for other files."""
    png = data[:4] == b"\x89PNG"
    return data.count(b"zTXt") + data.count(b"iTXt") if png else 0


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while data[place : place + 1] == b"\xff" and len(data) >= place + 9:
        mark, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= mark <= 0xCF and mark not in _NO_FRAMES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return int(width), int(height)
        place += 2 + max(length, 2)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        width = int.from_bytes(data[24:27], "little")
        height = int.from_bytes(data[27:30], "little")
        return 1 + width, 1 + height
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
