"""A picture of what a codec keeps: originals above their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from loretta_framework.api import FloatArray
from loretta_plugin_image.picture import SHOWN_SIDE, png, to_picture

_GAP = 2
_BEHIND = 0.5


def pairs_sheet(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> bytes:
    """A PNG of pairs of values (H, W, C) of one shape, the first of each pair above the second."""
    height, width, channels = pairs[0][0].shape
    factor = max(1, -(-SHOWN_SIDE // min(height, width)))
    height, width = height * factor, width * factor
    shape = (2 * height + 3 * _GAP, len(pairs) * (width + _GAP) + _GAP, channels)
    sheet_HWC = np.full(shape, _BEHIND, np.float32)
    for column, pair in enumerate(pairs):
        left = _GAP + column * (width + _GAP)
        for row, value_HWC in enumerate(pair):
            top = _GAP + row * (height + _GAP)
            large = to_picture(value_HWC).resize((width, height), Image.Resampling.NEAREST)
            pixels = np.asarray(large, np.float32).reshape(height, width, channels) / 255
            sheet_HWC[top : top + height, left : left + width] = pixels
    return png(to_picture(sheet_HWC))
