"""Frames to an MP4 file, through PyAV. Axes: F frames, H rows, W columns, C channels."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from loretta_plugin_video.picture import enlarged

CODEC = "mpeg4"
"""Part of every FFmpeg build, unlike H.264."""
SIDE = 128
"""Smaller frames are enlarged by a whole factor: colour is stored at half the resolution, and
players show small clips as stamps. Reading takes the means back."""


def write_clip(clip_FHWC: NDArray[np.uint8], rate: float, every: int = 1) -> bytes:
    """An MP4 with the finest quantisation that the codec has.

    Args:
        clip_FHWC: uint8.
        rate: frames a second.
        every: how often each frame is written; the file's rate is as much higher.
    """
    large = enlarged(clip_FHWC, SIDE)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        pace = (Fraction(rate) * every).limit_denominator(1000)
        stream: Any = container.add_stream(CODEC, rate=pace, options={"qmin": "1", "qmax": "1"})
        stream.height, stream.width, stream.pix_fmt = large.shape[1], large.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in large.repeat(every, axis=0):
            colour = np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
            frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
