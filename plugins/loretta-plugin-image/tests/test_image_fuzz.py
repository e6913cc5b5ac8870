"""Damaged pictures are refused with a ValueError or read; nothing else happens to the process."""

from __future__ import annotations

import io
import random
import sys

import numpy as np
import pytest
from loretta_plugin_image.pixels import Pixels
from loretta_plugin_image.settings import PixelsSettings
from PIL import Image

from loretta_framework.testing.damaged_media import in_a_child, read_damaged

FORMS = ("PNG", "JPEG", "WEBP")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, or a part cut out, doubled or moved."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    if draw.random() < 0.3:
        first, stop = sorted(draw.randrange(len(changed)) for _ in range(2))
        changed[first:stop] = bytes(changed[first:stop]) * draw.randrange(3)
    return bytes(changed)


def fuzz(form: str, count: int) -> tuple[int, int]:
    """(read, refused) of so many mutations; another exception is let through."""
    pixels = Pixels(PixelsSettings(height=8, width=8, max_pixels=100_000))
    picture = Image.effect_noise((40, 30), 60).convert("RGB")
    file = io.BytesIO()
    picture.save(file, form)

    def check(value: np.ndarray) -> None:
        assert value.shape == (8, 8, 1)

    return read_damaged(pixels.read, file.getvalue(), form.lower(), mutated, check, count)


@pytest.mark.parametrize("form", FORMS)
def test_300_damaged_pictures(form: str) -> None:
    read, refused = map(int, in_a_child(__file__, form, "300").split())
    assert read + refused == 300
    assert refused > 0


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_10000_damaged_pictures(form: str) -> None:
    assert sum(map(int, in_a_child(__file__, form, "10000").split())) == 10_000


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    print(*fuzz(sys.argv[1], int(sys.argv[2])))
