"""Damaged sounds are refused with a ValueError or read; nothing else happens to the process."""

from __future__ import annotations

import io
import random
import sys

import numpy as np
import pytest
import soundfile
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.settings import MelCodesSettings

from loretta_framework.testing.damaged_media import in_a_child, read_damaged

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
    file = io.BytesIO()
    tone_S = np.sin(np.arange(2400) / 5) / 2 + np.random.default_rng(0).normal(0, 0.05, 2400)
    soundfile.write(file, tone_S, 8000, format=form)

    def check(value_S: np.ndarray) -> None:
        assert value_S.ndim == 1
        assert np.isfinite(value_S).all()

    return read_damaged(mel.read, file.getvalue(), form.lower(), mutated, check, count)


@pytest.mark.parametrize("form", FORMS)
def test_300_damaged_sounds(form: str) -> None:
    read, refused = map(int, in_a_child(__file__, form, "300").split())
    assert read + refused == 300
    assert refused > 0


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_10000_damaged_sounds(form: str) -> None:
    assert sum(map(int, in_a_child(__file__, form, "10000").split())) == 10_000


if __name__ == "__main__":
    print(*fuzz(sys.argv[1], int(sys.argv[2])))
