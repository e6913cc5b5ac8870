"""`video.frames`: the tokens of each frame, one frame after another.

Axes: F frames, H rows, W columns, C channels, T tokens of a clip, N of a frame.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loretta_framework.api import (
    BuildContext,
    InputError,
    IntArray,
    checked_ids,
    write_json_atomically,
)
from loretta_plugin_video.clips import Clip, Clips
from loretta_plugin_video.picture import resized
from loretta_plugin_video.settings import FramesSettings

ABOUT_FILE = "frames.json"
IMAGE_FOLDER = "image"


class Frames(Clips):
    """A tokenizer; see `build`."""

    def __init__(self, settings: FramesSettings, image: Any) -> None:
        super().__init__(settings)
        self._settings = settings
        self._image = image
        self._about = {"image": settings.image.model_dump(mode="json")}

    def encode(self, value: Clip) -> IntArray:
        """int64 (F * N,). Raises `ValueError` when it is no clip, or the images need a fit."""
        frames = self._checked(value)
        ids = [self._image.encode(_parsed(self._image, frame)) for frame in frames]
        return np.concatenate(ids).astype(np.int64)

    def decode(self, ids: IntArray) -> Clip:
        """uint8 (F, H, W, C). Raises `ValueError` for ids out of range or of another number."""
        bounds = self._settings.bounds()
        ids_T = checked_ids(ids, bounds.vocab_size)
        if len(ids_T) != bounds.max_tokens:
            raise ValueError(f"there must be {bounds.max_tokens} ids, but are {len(ids_T)}")
        frames = ids_T.reshape(self._settings.frames, -1)
        return np.stack([self._frame(ids_N) for ids_N in frames])

    def fit(self, values: Iterable[Clip], seed: int) -> Mapping[str, float]:
        """Hand the frames on to the image tokenizer; what it says of its fit.

        Raises:
            ValueError: there are no clips, or the image tokenizer cannot be fitted on them.
        """
        if next(iter(values), None) is None:
            raise ValueError("there must be at least one clip to fit on")
        if not hasattr(self._image, "fit"):
            return {}
        figures: Mapping[str, float] = self._image.fit(_FramesOf(values, self._image), seed)
        return figures

    def save(self, directory: Path) -> None:
        """Write which images they are, and what those learned. Raises `ValueError` before the fit."""
        directory.mkdir(parents=True, exist_ok=True)
        if hasattr(self._image, "save"):
            self._image.save(directory / IMAGE_FOLDER)
        write_json_atomically(directory / ABOUT_FILE, self._about)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: a file is missing or damaged, or belongs to other settings.
        """
        try:
            about = json.loads((directory / ABOUT_FILE).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{directory / ABOUT_FILE}: it cannot be read: {error}") from error
        if about != self._about:
            text = f"it was fitted for {about}, but the settings ask for {self._about}"
            raise ValueError(f"{directory}: {text}; fit it again")
        if hasattr(self._image, "load"):
            self._image.load(directory / IMAGE_FOLDER)

    def _frame(self, ids_N: IntArray) -> Any:
        """uint8 (H, W, C). Only the files that an image tokenizer writes are known to be pictures."""
        data, _ = self._image.write(self._image.decode(ids_N))
        with Image.open(io.BytesIO(data)) as picture:
            frame_HWC = np.asarray(picture.convert("RGB"))
        return resized(frame_HWC, *self._settings.shape[1:])


def _parsed(image: Any, frame_HWC: Clip) -> Any:
    """A frame as the image tokenizer's value; grey ones without the axis of one channel."""
    return image.parse(frame_HWC[..., 0] if frame_HWC.shape[-1] == 1 else frame_HWC)


class _FramesOf:
    """The frames of clips as the image tokenizer's values; can be iterated again."""

    def __init__(self, clips: Iterable[Clip], image: Any) -> None:
        self._clips, self._image = clips, image

    def __iter__(self) -> Iterator[Any]:
        return (_parsed(self._image, frame) for clip in self._clips for frame in clip)


def build(settings: FramesSettings, context: BuildContext) -> Frames:
    """The factory of `video.frames`.

    Raises:
        InputError: `tokens_per_frame` or `vocab_size` is not what the image tokenizer promises, or it
            promises no fixed number of tokens.
    """
    kind = settings.image.kind
    bounds = context.bounds(kind, settings.image.settings)
    if not bounds.vocab_size or not bounds.fixed_length:
        raise InputError(
            f"'{kind}' must give a fixed number of tokens, but gives "
            f"{bounds.min_tokens} to {bounds.max_tokens} of {bounds.vocab_size} ids",
            where="settings of 'video.frames': image",
            fix="name another image tokenizer",
        )
    right = bounds.max_tokens, bounds.vocab_size
    given = settings.tokens_per_frame, settings.vocab_size
    if right != given:
        raise InputError(
            f"tokens_per_frame and vocab_size must be {right[0]} and {right[1]}, as '{kind}' has "
            f"them, but are {given[0]} and {given[1]}",
            where="settings of 'video.frames'",
            fix=f"tokens_per_frame: {right[0]}, vocab_size: {right[1]}",
        )
    return Frames(settings, context.build(kind, settings.image.settings))
