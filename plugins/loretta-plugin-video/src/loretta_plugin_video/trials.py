"""With what the conformance kit tries the modalities: small clips of a moving square."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import Trial
from loretta_plugin_video.settings import ClipSettings


def moving_squares(
    settings: ClipSettings, random: np.random.Generator, count: int
) -> list[NDArray[np.uint8]]:
    """Clips of a square that moves over a shaded ground; the first two are dark and bright grey."""
    frames, height, width, channels = settings.shape
    shade_HW = np.linspace(40, 120, height)[:, None] + np.linspace(0, 40, width)[None]
    clips = [np.full(settings.shape, grey, np.uint8) for grey in (40, 220)]
    while len(clips) < count:
        clip_FHWC = np.repeat(shade_HW[None, :, :, None], frames, 0).repeat(channels, 3)
        side = max(1, int(random.integers(height // 4, height // 2 + 1)))
        colour, step = random.integers(60, 256, channels), random.integers(-2, 3, 2)
        place = random.integers(0, max(1, min(height, width) - side), 2)
        for picture_HWC in clip_FHWC:
            top, left = np.clip(place, 0, [height - side, width - side])
            picture_HWC[top : top + side, left : left + side] = colour
            place = place + step
        clips.append(clip_FHWC.astype(np.uint8))
    return clips[:count]


def one_frame_more(
    settings: ClipSettings, random: np.random.Generator, count: int
) -> list[NDArray[np.uint8]]:
    """Clips that are too long, too short, and too wide."""
    clip = moving_squares(settings, random, 3)[2]
    return [np.concatenate([clip, clip[-1:]]), clip[:-1], clip.repeat(2, axis=2)][:count]


def mean_error(value: NDArray[np.uint8], restored: NDArray[np.uint8]) -> float:
    """Mean absolute difference of pixels, of 255."""
    return float(np.abs(value.astype(np.float64) - restored).mean())


FRAMES = Trial(
    settings={
        "frames": 3,
        "height": 16,
        "width": 16,
        "image": {
            "kind": "image.patch_codes",
            "settings": {
                "height": 16,
                "width": 16,
                "channels": 3,
                "patch": 4,
                "codebook_size": 64,
            },
        },
        "tokens_per_frame": 16,
        "vocab_size": 64,
    },
    values=moving_squares,
    distance=mean_error,
    max_distance=30.0,
    refused=one_frame_more,
)
"""Of `video.frames`."""

VQ = Trial(
    settings={
        "frames": 4,
        "height": 16,
        "width": 16,
        "downsample": [2, 4, 4],
        "levels": [8, 8, 4],
        "hidden": 8,
        "max_hidden": 16,
        "steps": 12,
        "batch": 4,
        "lr": 1e-2,
        "augment": {"flip": 0.5, "crop": 0.2},
    },
    values=moving_squares,
    distance=mean_error,
    max_distance=110.0,  # twelve steps promise little
    refused=one_frame_more,
)
"""Of `video.vq`."""
