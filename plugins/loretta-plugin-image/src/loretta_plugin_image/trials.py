"""With what the conformance kit tries the image modalities. Axes: H rows, W columns, C channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from loretta_framework.api import FloatArray, Trial


def examples(settings: Any, random: np.random.Generator, count: int) -> Sequence[FloatArray]:
    """By turns black, white, noise, and a soft blob on a slope of grey."""
    shape = (settings.height, settings.width, settings.channels)
    kinds = (np.zeros, np.ones, random.random, lambda shape: _blob(shape, random))
    return [np.asarray(kinds[number % 4](shape), np.float32) for number in range(count)]


def wrong_sizes(settings: Any, random: np.random.Generator, count: int) -> Sequence[FloatArray]:
    """Images of one row or column more than a value has."""
    height, width, channels = settings.height, settings.width, settings.channels
    sizes = [(height + 1, width, channels), (height, width + 1, channels)]
    return [random.random(sizes[number % 2]).astype(np.float32) for number in range(count)]


def largest_error(value: FloatArray, restored: FloatArray) -> float:
    """Of any pixel."""
    return float(np.abs(value - restored).max())


def mean_error(value: FloatArray, restored: FloatArray) -> float:
    """Of a pixel, on average."""
    return float(np.abs(value - restored).mean())


def _blob(shape: tuple[int, int, int], random: np.random.Generator) -> FloatArray:
    y_HW1, x_HW1 = np.mgrid[: shape[0], : shape[1]][..., None]
    top, left = random.random(2) * shape[:2]
    distance_HW1 = (y_HW1 - top) ** 2 + (x_HW1 - left) ** 2
    height_C = random.random(shape[2])
    slope_HW1 = random.random() * x_HW1 / shape[1] * 0.5
    value_HWC = slope_HW1 + 0.5 * height_C * np.exp(-distance_HW1 / shape[0])
    return np.asarray(value_HWC, np.float32)


PIXELS = Trial(
    settings={"height": 5, "width": 3, "channels": 3, "levels": 16},
    values=examples,
    distance=largest_error,
    max_distance=0.5 / 15 + 1e-6,  # half a level
    refused=wrong_sizes,
)

PATCH_CODES = Trial(
    settings={"height": 8, "width": 6, "codebook_size": 32, "augment": {"shift": 0.5}},
    values=examples,
    distance=mean_error,
    max_distance=0.25,
    refused=wrong_sizes,
)

VQ = Trial(
    settings={
        "height": 8,
        "width": 4,
        "codebook_size": 16,
        "hidden": 8,
        "blocks": 1,
        "steps": 60,
        "batch": 16,
        "augment": {"shift": 0.5},
    },
    values=examples,
    distance=mean_error,
    max_distance=0.45,
    refused=wrong_sizes,
)

TIMM = Trial(
    settings={"height": 32, "width": 48, "model": "test_vit", "tokens": 6},
    values=examples,
)
