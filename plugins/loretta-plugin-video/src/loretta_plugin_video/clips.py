"""What all video modalities share: values are clips, uint8 (F, H, W, C). Axes as there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import Artifact, FloatArray
from loretta_plugin_video.choosing import fitted
from loretta_plugin_video.picture import animation, contact_sheet, resized
from loretta_plugin_video.reading import read_clip
from loretta_plugin_video.settings import ClipSettings
from loretta_plugin_video.writing import write_clip

DEFAULT_RATE = 10.0
"""Frames a second of what is written, where the settings name no `fps`."""

Clip = NDArray[np.uint8]


class Clips:
    """Files, arrays and frames; what the tokenizers build on."""

    def __init__(self, settings: ClipSettings) -> None:
        self._clip = settings
        self._rate = settings.fps or DEFAULT_RATE

    def read(self, data: bytes, extension: str) -> Clip:
        """The chosen frames of a file. Raises `ValueError`; see `reading.read_clip`."""
        return read_clip(data, self._clip)

    def write(self, value: Clip) -> tuple[bytes, str]:
        """An MP4 that `read` takes back, nearly as it was. Raises `ValueError`."""
        return write_clip(self._checked(value), self._rate, self._clip.every), "mp4"

    def show(self, value: Clip) -> Sequence[Artifact]:
        """A contact sheet, and an animated PNG. Raises `ValueError`."""
        clip_FHWC = self._checked(value)
        pictures = contact_sheet(clip_FHWC), animation(clip_FHWC, self._rate)
        return [Artifact(picture, "png") for picture in pictures]

    def parse(self, value: Any) -> Clip:
        """A clip from a file's bytes, or from frames: uint8, or float from 0 to 1.

        Frames are an array (or list of arrays) (F, H, W), or (F, H, W, C) with 1 or 3 channels. Other
        sizes are resized; more or fewer frames are treated as those of a file, but none is left out
        by `fps` or `every`.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(value, bytes | bytearray):
            return self.read(bytes(value), "")
        clip_FHWC = _as_bytes(_as_array(value))
        if clip_FHWC.shape == self._clip.shape:
            return clip_FHWC
        settings = self._clip
        numbers = fitted(range(len(clip_FHWC)), settings)
        shape = settings.height, settings.width, settings.channels
        return np.stack([resized(clip_FHWC[number], *shape) for number in numbers])

    def augment(self, value: Clip, random: np.random.Generator) -> Clip:
        """A mirrored and cropped copy, as the settings ask; all frames alike."""
        settings = self._clip.augment
        if settings is None:
            return value
        mirrored = random.random() < settings.flip
        height, width = value.shape[1:3]
        keep = 1 - random.random() * settings.crop
        rows, columns = max(1, round(height * keep)), max(1, round(width * keep))
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        part = value[:, top : top + rows, left : left + columns]
        part = part[:, :, ::-1] if mirrored else part
        shape = self._clip.shape[1:]
        return np.stack([resized(np.ascontiguousarray(frame), *shape) for frame in part])

    def features(self, value: Clip) -> FloatArray:
        """float32 (3C, H, W): the first, the middle and the last frame, from 0 to 1."""
        clip_FHWC = self._checked(value)
        frames = clip_FHWC[[0, len(clip_FHWC) // 2, -1]].transpose(0, 3, 1, 2)
        stacked = frames.reshape(-1, *clip_FHWC.shape[1:3]).astype(np.float32)
        return stacked / np.float32(255)

    def _checked(self, value: Any) -> Clip:
        """The value, when it is one. Raises `ValueError`."""
        found = getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__)
        if not isinstance(value, np.ndarray) or found != (self._clip.shape, np.uint8):
            text = f"but is {found[1]} {found[0] or ''}".strip()
            raise ValueError(f"a clip must be uint8 {self._clip.shape}, {text}; see `parse`")
        return value


def _as_array(value: Any) -> NDArray[Any]:
    """(F, H, W, C) of any dtype. Raises `ValueError`."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"frames must be arrays of one size: {error}") from error
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        text = f"(F, H, W, C) with C of 1 or 3, but is {array.shape}"
        raise ValueError(f"a clip must be a video file's bytes or frames {text}")
    return array


def _as_bytes(array_FHWC: NDArray[Any]) -> Clip:
    """uint8. Raises `ValueError` for other types, and for numbers out of range."""
    if array_FHWC.dtype == np.uint8:
        return array_FHWC
    if not np.issubdtype(array_FHWC.dtype, np.floating):
        raise ValueError(f"frames must be uint8 or float, but are {array_FHWC.dtype}")
    lowest, highest = float(array_FHWC.min()), float(array_FHWC.max())
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(f"float frames must lie in 0..1, but span {lowest:g}..{highest:g}")
    return (array_FHWC * 255).round().astype(np.uint8)
