"""Random small changes of an image. Axes: H rows, W columns, C channels."""

from __future__ import annotations

import numpy as np

from loretta_framework.api.protocols import FloatArray
from loretta_plugin_image.settings import WarpSettings


def warp(value_HWC: FloatArray, settings: WarpSettings, random: np.random.Generator) -> FloatArray:
    """A shifted, turned, scaled, brightened and noisy copy; 0..1, what comes from outside is 0.

    All numbers are drawn whatever the settings, so that switching one change off leaves the others
    as they were.
    """
    height, width, _ = value_HWC.shape
    angle = random.uniform(-settings.rotate, settings.rotate)
    size = 1 + random.uniform(-settings.scale, settings.scale)
    shift_y, shift_x = random.uniform(-settings.shift, settings.shift, 2)
    brightness = 1 + random.uniform(-settings.intensity, settings.intensity)
    noise_HWC = random.standard_normal(value_HWC.shape, np.float32) * np.float32(settings.noise)
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float64)
    y_HW, x_HW = y_HW - (height - 1) / 2, x_HW - (width - 1) / 2
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    from_y_HW = -sine * x_HW + cosine * y_HW + (height - 1) / 2 - shift_y
    from_x_HW = cosine * x_HW + sine * y_HW + (width - 1) / 2 - shift_x
    moved_HWC = _bilinear(value_HWC, from_y_HW, from_x_HW)
    changed_HWC = moved_HWC * np.float32(brightness) + noise_HWC
    return np.asarray(np.clip(changed_HWC, 0, 1), np.float32)


def _bilinear(value_HWC: FloatArray, y_HW: np.ndarray, x_HW: np.ndarray) -> FloatArray:
    """The image's values at fractional places (H, W); 0 outside."""
    height, width, _ = value_HWC.shape
    framed = np.pad(value_HWC, ((1, 1), (1, 1), (0, 0)))
    top_HW, left_HW = np.floor(y_HW).astype(np.int64), np.floor(x_HW).astype(np.int64)
    down_HW1 = (y_HW - top_HW)[..., None].astype(np.float32)
    right_HW1 = (x_HW - left_HW)[..., None].astype(np.float32)

    def at(row_HW: np.ndarray, column_HW: np.ndarray) -> FloatArray:
        # Places further out than the frame of zeros fall on it.
        rows_HW = np.clip(row_HW + 1, 0, height + 1)
        values_HWC: FloatArray = framed[rows_HW, np.clip(column_HW + 1, 0, width + 1)]
        return values_HWC

    upper = at(top_HW, left_HW) * (1 - right_HW1) + at(top_HW, left_HW + 1) * right_HW1
    lower = at(top_HW + 1, left_HW) * (1 - right_HW1) + at(top_HW + 1, left_HW + 1) * right_HW1
    return np.asarray(upper * (1 - down_HW1) + lower * down_HW1, np.float32)
