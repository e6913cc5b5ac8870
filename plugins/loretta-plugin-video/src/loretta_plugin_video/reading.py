"""Files to frames, through PyAV. What a header tells is checked before anything is decoded.

Axes: F frames, H rows, W columns, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from loretta_plugin_video.choosing import chosen
from loretta_plugin_video.picture import resized
from loretta_plugin_video.settings import ClipSettings

FORMATS = {"mov": "MP4", "matroska": "Matroska", "avi": "AVI", "gif": "GIF"}
_MOV = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


@dataclass(frozen=True, slots=True)
class _Frames:
    """The compressed frames of a file. Ticks: the times they are shown at, ascending."""

    packets: list[Any]
    ticks: list[int]
    total: int
    tick: Fraction
    timed: bool


def format_of(data: bytes) -> str:
    """A key of `FORMATS`, told from the first bytes.

    FFmpeg would guess too, and among its guesses are playlists that open what they name: other
    files of this machine, and addresses in its network.

    Raises:
        ValueError: it is none of them.
    """
    if data[4:8] in _MOV:
        return "mov"
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "avi"
    if data.startswith(b"GIF8"):
        return "gif"
    raise ValueError(f"it must be one of {', '.join(FORMATS.values())}, but begins {data[:8]!r}")


def read_clip(data: bytes, settings: ClipSettings) -> NDArray[np.uint8]:
    """The chosen frames of a file, uint8 (F, H, W, C), resized.

    Raises:
        ValueError: it is no video that can be read, damaged, larger than the limits, or has another
            number of frames than the settings allow.
    """
    # As for every file: what is too large is not opened.
    if len(data) > settings.max_bytes:
        raise ValueError(f"it must have at most {settings.max_bytes} bytes, but has {len(data)}")
    kind = format_of(data)
    most = {"max_pixels": str(settings.max_pixels)}  # for frames that are larger than announced
    try:
        with av.open(io.BytesIO(data), format=kind, options=most, metadata_errors="ignore") as file:
            if not file.streams.video:
                raise ValueError("it has no pictures")
            stream = file.streams.video[0]
            if stream.codec_context is None:
                raise ValueError("its pictures are coded in a way that is not known here")
            stream.codec_context.thread_count = 1
            stream.codec_context.options = most
            _check_header(file, stream, settings)
            frames = _demuxed(file, stream, settings)
            numbers = chosen(frames.ticks, frames.total, frames.tick, settings)
            taken = _decoded(stream, frames, set(numbers), settings)
    except (av.FFmpegError, EOFError, OverflowError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from error
    return np.stack([taken[number] for number in numbers])


def _check_header(file: Any, stream: Any, settings: ClipSettings) -> None:
    """Limits, as far as the header tells. Raises `ValueError`."""
    # FFmpeg forgets the size of what is larger than it may open.
    size = stream.width * stream.height
    if not 0 < size <= settings.max_pixels:
        text = f"but are {stream.width} x {stream.height}" if size else "but are larger or unknown"
        raise ValueError(f"its frames must have at most {settings.max_pixels} pixels, {text}")
    if stream.frames > settings.max_frames:
        raise ValueError(
            f"it must have at most {settings.max_frames} frames, but has {stream.frames}"
        )
    seconds = 0.0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif file.duration:
        seconds = file.duration / av.time_base
    if seconds > settings.max_seconds:
        raise ValueError(
            f"it must last at most {settings.max_seconds:g} s, but lasts {seconds:g} s"
        )


def _demuxed(file: Any, stream: Any, settings: ClipSettings) -> _Frames:
    """The compressed frames, none of them decoded. Raises `ValueError` when some are missing."""
    packets: list[Any] = []
    for packet in file.demux(stream):
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise ValueError(f"it is damaged: frame {len(packets)} is not complete")
        packets.append(packet)
        if len(packets) > settings.max_frames:
            raise ValueError(f"it must have at most {settings.max_frames} frames, but has more")
    if len(packets) < stream.frames:
        raise ValueError(f"it is cut short: of {stream.frames} frames {len(packets)} are there")
    if not packets:
        raise ValueError("it has no pictures")
    return _timed(packets, stream)


def _timed(packets: list[Any], stream: Any) -> _Frames:
    shown = [packet for packet in packets if not packet.is_discard]
    ticks = sorted(packet.pts for packet in shown if packet.pts is not None)
    rate = stream.average_rate or Fraction(25)
    if not shown or len(set(ticks)) < len(shown):
        # Some AVI files hold no times, or the same twice: then the rate tells.
        return _Frames(packets, list(range(len(shown))), len(shown), 1 / rate, timed=False)
    last = next(packet for packet in shown if packet.pts == ticks[-1])
    lasts = last.duration or max(1, round(1 / (rate * stream.time_base)))
    return _Frames(packets, ticks, ticks[-1] - ticks[0] + lasts, stream.time_base, timed=True)


def _decoded(
    stream: Any, frames: _Frames, wanted: set[int], settings: ClipSettings
) -> dict[int, NDArray[np.uint8]]:
    """Frame number -> uint8 (H, W, C). Decoding ends with the last that is wanted."""
    numbers = {tick: number for number, tick in enumerate(frames.ticks)}
    taken: dict[int, NDArray[np.uint8]] = {}
    for count, frame in enumerate(_all_frames(stream, frames.packets)):
        number = numbers.get(frame.pts) if frames.timed else count
        if number is None or number not in wanted:
            continue
        if frame.is_corrupt:
            raise ValueError(f"it is damaged: frame {number} is not complete")
        picture = frame.to_ndarray(format="rgb24")
        taken[number] = resized(picture, settings.height, settings.width, settings.channels)
        if len(taken) == len(wanted):
            return taken
    missing = min(wanted - set(taken))
    raise ValueError(f"it is damaged: frame {missing} cannot be decoded")


def _all_frames(stream: Any, packets: list[Any]) -> Iterator[Any]:
    for packet in packets:
        yield from stream.codec_context.decode(packet)
    yield from stream.codec_context.decode(None)
