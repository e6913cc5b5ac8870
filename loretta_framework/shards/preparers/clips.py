"""Frames and sound of a video file, through PyAV."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import MissingDependencyError

MAX_FRAMES = 2000
"""Frames that a clip may have; longer ones are no clips."""

MAX_SECONDS = 120
"""Seconds of sound that are taken at most; longer ones are no clips."""


def require_av(without: str) -> Any:
    """The module `av`.

    Args:
        without: option that makes it unnecessary.

    Raises:
        MissingDependencyError: it, or Pillow, is not installed.
    """
    try:
        import av
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"taking frames and sound out of a video needs a package that is not installed: {error}",
            where="mugen",
            fix=f"pip install 'loretta-framework[mugen]', or do without: {without}",
        ) from error
    return av


def frames(av: Any, path: Path, count: int, resolution: int | None) -> list[bytes]:
    """`count` frames of a video as PNG, from the middles of equal parts of its length.

    Args:
        av: the module.
        path: the video.
        count: frames wanted; a shorter video gives each of its frames once.
        resolution: width and height of the pictures, None: as they are.

    Raises:
        ValueError: the file is no video, or has no frames or too many.
    """
    found = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("it has no pictures")
            for frame in container.decode(video=0):
                found.append(frame)
                if len(found) > MAX_FRAMES:
                    raise ValueError(f"it has more than {MAX_FRAMES} frames")
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from error
    if not found:
        raise ValueError("it has no pictures")
    count = min(count, len(found))
    places = [(2 * number + 1) * len(found) // (2 * count) for number in range(count)]
    return [_png(found[place], resolution) for place in places]


def sound(av: Any, path: Path, rate: int) -> bytes | None:
    """The first sound track as WAV: one channel, 16 bits. None when there is none.

    Raises:
        ValueError: the file cannot be decoded, or the sound is too long.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            data = bytearray()
            for frame in container.decode(audio=0):
                frame.pts = None  # gaps of time stamps would make the resampler wait
                for part in resampler.resample(frame):
                    data += part.to_ndarray().tobytes()
                if len(data) > MAX_SECONDS * rate * 2:
                    raise ValueError(f"its sound is longer than {MAX_SECONDS} s")
            for part in resampler.resample(None):
                data += part.to_ndarray().tobytes()
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from error
    return _wav(bytes(data), rate)


def _png(frame: Any, resolution: int | None) -> bytes:
    size = {} if resolution is None else {"width": resolution, "height": resolution}
    file = io.BytesIO()
    frame.to_image(**size).save(file, format="PNG")
    return file.getvalue()


def _wav(data: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(data)
    return file.getvalue()
