"""Damaged sounds are refused with a ValueError or read; nothing else happens to the process."""

from __future__ import annotations

import io
import random
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.settings import MelCodesSettings

FORMS = ("WAV", "FLAC", "OGG")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, or the end cut off; headers are hit as often as the rest."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(min(100, len(changed)) if draw.random() < 0.5 else len(changed))
        changed[place] = draw.randrange(256)
    if draw.random() < 0.2:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


def fuzz(form: str, count: int) -> tuple[int, int]:
    """(read, refused) of so many mutations; another exception is let through."""
    mel = MelCodes(MelCodesSettings(max_seconds=2.0))
    draw = random.Random(form)
    file = io.BytesIO()
    tone_S = np.sin(np.arange(2400) / 5) / 2 + np.random.default_rng(0).normal(0, 0.05, 2400)
    soundfile.write(file, tone_S, 8000, format=form)
    read = 0
    for _ in range(count):
        try:
            value_S = mel.read(mutated(file.getvalue(), draw), form.lower())
        except ValueError:
            continue
        assert value_S.ndim == 1
        assert np.isfinite(value_S).all()
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
def test_300_damaged_sounds(form: str) -> None:
    read, refused = in_a_child(form, 300)
    assert read + refused == 300
    assert refused > 0


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_10000_damaged_sounds(form: str) -> None:
    assert sum(in_a_child(form, 10_000)) == 10_000


if __name__ == "__main__":
    print(*fuzz(sys.argv[1], int(sys.argv[2])))
