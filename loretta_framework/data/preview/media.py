"""What a file of a sample is, told from its bytes, for people to look at. Decodes no media.

The name only says what to look for: a picture is embedded when its first bytes are those of a
format that browsers show and that cannot hold scripts.
"""

from __future__ import annotations

import csv
import io
import json
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["image", "audio", "text", "table", "other"]

MAX_EMBEDDED = 4 << 20
"""Bytes of a picture or sound that is put into a page."""

MAX_PIXELS = 40_000_000
"""Pixels of a picture that a browser is asked to draw."""

MAX_TEXT = 4000
MAX_ROWS = 8
MAX_COLUMNS = 8
MAX_JSON = 1 << 20
_BARS = 32

_IMAGES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
_SOUNDS = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg"}
_SAME = {"jpeg": "jpg", "opus": "ogg", "oga": "ogg", "wave": "wav"}


@dataclass(frozen=True, slots=True)
class Media:
    """A file as it can be shown.

    Attributes:
        kind: how to show it.
        note: facts in words, such as "28 x 28" or "0.52 s at 8000 Hz".
        data: bytes of a picture or sound that may be embedded, else empty.
        mime: their type.
        text: text, or the begin of a file in hexadecimal.
        table: rows of cells, the first the header.
        bars: loudness along a sound, each in 0..1.
    """

    kind: Kind
    note: str
    data: bytes = b""
    mime: str = ""
    text: str = ""
    table: tuple[tuple[str, ...], ...] = ()
    bars: tuple[float, ...] = ()


def describe(data: bytes, extension: str) -> Media:
    """What the bytes are, as far as the extension lets one hope."""
    name = _SAME.get(extension.lower(), extension.lower())
    if name in _IMAGES:
        return _image(data, name)
    if name in _SOUNDS:
        return _sound(data, name)
    if name in ("txt", "text", "cls", "caption"):
        return _text(data)
    if name in ("csv", "tsv"):
        return _csv(data, "\t" if name == "tsv" else ",")
    if name == "json":
        return _json(data)
    return _bytes(data, "")


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a PNG, GIF, JPEG or WebP from its header, None when it has none."""
    kind = _sniff(data)
    try:
        if kind == "png":
            return _pair(struct.unpack(">II", data[16:24]))
        if kind == "gif":
            return _pair(struct.unpack("<HH", data[6:10]))
        if kind == "jpg":
            return _jpeg_size(data)
        if kind == "webp":
            return _webp_size(data)
    except (struct.error, IndexError):
        return None
    return None


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _sniff(data: bytes) -> str:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    if data[:4] in (b"RIFF", b"RF64"):
        return {b"WEBP": "webp", b"WAVE": "wav"}.get(data[8:12], "")
    if data[:4] in (b"fLaC", b"OggS"):
        return "flac" if data[:1] == b"f" else "ogg"
    mp3 = data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] > b"\xe0")
    return "mp3" if mp3 else ""


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while data[place] == 0xFF:
        mark, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + length
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    bits = int.from_bytes(data[21:25], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _image(data: bytes, name: str) -> Media:
    size = image_size(data)
    if _sniff(data) != name or size is None:
        return _bytes(data, f"no {name.upper()} by its content")
    note = f"{size[0]} x {size[1]}"
    if size[0] * size[1] > MAX_PIXELS or len(data) > MAX_EMBEDDED:
        return Media("image", f"{note}, too large to show here")
    return Media("image", note, data, _IMAGES[name])


def _sound(data: bytes, name: str) -> Media:
    if _sniff(data) != name:
        return _bytes(data, f"no {name.upper()} by its content")
    note, bars = "", tuple[float, ...]()
    if name == "wav":
        note, bars = _wave(data)
    elif name == "flac" and len(data) >= 42:
        bits = int.from_bytes(data[18:26], "big")
        note = _duration((bits & 0xF_FFFF_FFFF), bits >> 44)
    if len(data) > MAX_EMBEDDED:
        return Media("audio", f"{note}, too large to play here".lstrip(", "), bars=bars)
    return Media("audio", note, data, _SOUNDS[name], bars=bars)


def _duration(samples: int, rate: int) -> str:
    return f"{samples / rate:.2f} s at {rate} Hz" if rate else ""


def _wave(data: bytes) -> tuple[str, tuple[float, ...]]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            note = _duration(file.getnframes(), file.getframerate())
            if file.getsampwidth() != 2:
                return note, ()
            raw = file.readframes(min(file.getnframes(), MAX_EMBEDDED))
            channels = file.getnchannels()
    except (wave.Error, EOFError, ValueError):
        return "", ()
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2")[::channels].astype(np.float32)
    parts = [part for part in np.array_split(samples, _BARS) if len(part)]
    levels = [float(np.sqrt((part**2).mean())) for part in parts]
    loudest = max(levels, default=0.0) or 1.0
    return note, tuple(level / loudest for level in levels)


def _text(data: bytes) -> Media:
    if len(data) > MAX_JSON:
        return Media("text", "shortened", text=shown(data[:MAX_TEXT].decode("utf-8", "replace")))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _bytes(data, f"no UTF-8: byte {error.start} is {data[error.start]:#04x}")
    note = f"{len(text)} characters"
    return Media("text", note, text=shown(text[:MAX_TEXT]) + ("…" if len(text) > MAX_TEXT else ""))


def _csv(data: bytes, delimiter: str) -> Media:
    text = data[:MAX_JSON].decode("utf-8", "replace")
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        return _bytes(data, f"no table: {error}")
    columns = max((len(row) for row in rows), default=0)
    kept = [_cells(row, columns) for row in rows[: MAX_ROWS + 1]]
    return Media("table", f"{max(len(rows) - 1, 0)} rows x {columns} columns", table=tuple(kept))


def _cells(row: Sequence[str], columns: int) -> tuple[str, ...]:
    cells = [shown(cell[:40]) for cell in row[:MAX_COLUMNS]]
    return (*cells, "…") if columns > MAX_COLUMNS else tuple(cells)


def _json(data: bytes) -> Media:
    if len(data) > MAX_JSON:
        return _bytes(data, "too long to show here")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        return _bytes(data, f"no JSON: {error}")
    rows = _records(value)
    if rows:
        return Media("table", "JSON", table=rows)
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return Media("text", "JSON", text=shown(text[:MAX_TEXT]))


def _records(value: Any) -> tuple[tuple[str, ...], ...]:
    """A flat object as name and value, a list of flat objects as a table; else nothing."""
    if isinstance(value, dict) and value:
        pairs = [(str(name), _short(item)) for name, item in list(value.items())[:MAX_ROWS]]
        return (("name", "value"), *((shown(name), text) for name, text in pairs))
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        names = list(dict.fromkeys(str(name) for item in value[:MAX_ROWS] for name in item))
        rows = [[_short(item.get(name, "")) for name in names] for item in value[:MAX_ROWS]]
        return tuple(_cells(row, len(names)) for row in (names, *rows))
    return ()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown(text[:40] + ("…" if len(text) > 40 else ""))


def _bytes(data: bytes, note: str) -> Media:
    begin = data[:24].hex(" ") + (" …" if len(data) > 24 else "")
    return Media("other", note, text=begin)


def shown(text: str) -> str:
    """Without the characters that move a terminal's cursor or turn the direction of writing."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
