"""Damaged pictures are refused with a ValueError or read; nothing else happens to the process."""

from __future__ import annotations

import io
import random
import subprocess
import sys

import pytest
from loretta_plugin_image.pixels import Pixels
from loretta_plugin_image.settings import PixelsSettings
from PIL import Image

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
    draw = random.Random(form)
    picture = Image.effect_noise((40, 30), 60).convert("RGB")
    file = io.BytesIO()
    picture.save(file, form)
    read = 0
    for _ in range(count):
        try:
            value = pixels.read(mutated(file.getvalue(), draw), form.lower())
        except ValueError:
            continue
        assert value.shape == (8, 8, 1)
        read += 1
    return read, count - read


def in_a_child(form: str, count: int) -> tuple[int, int]:
    """As `fuzz`, in a process of its own: a crash of the decoder is then a failure here."""
    command = [sys.executable, __file__, form, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = done.stdout.split()
    return int(read), int(refused)


@pytest.mark.parametrize("form", FORMS)
def test_300_damaged_pictures(form: str) -> None:
    read, refused = in_a_child(form, 300)
    assert read + refused == 300
    assert refused > 0


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_10000_damaged_pictures(form: str) -> None:
    assert sum(in_a_child(form, 10_000)) == 10_000


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    print(*fuzz(sys.argv[1], int(sys.argv[2])))
