"""Films whose frames tell their number by their brightness."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

STEP = 8
"""Brightness from one frame to the next."""

Film = Callable[..., bytes]


def make_film(
    frames: int = 10,
    rate: int = 10,
    *,
    size: tuple[int, int] = (32, 32),
    format: str = "mp4",
    codec: str = "mpeg4",
    ticks: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A video file; `ticks`: when each frame is shown, in 1/rate s."""
    file = io.BytesIO()
    with av.open(file, "w", format=format, options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"qmin": "1", "qmax": "1"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            grey = np.full((*size, 3), STEP * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            if ticks is not None:
                frame.pts = ticks[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def film() -> Film:
    return make_film
