"""What a hostile sound may cost: its header is judged before anything is decoded."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from loretta_plugin_audio.decoding import MAX_VALUES_A_SECOND, decode_file
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.settings import MelCodesSettings
from loretta_plugin_audio.waveforms import Channels

from loretta_framework.testing.damaged_media import cost_of

MEL = MelCodes(MelCodesSettings())


def file_of(wave: np.ndarray, rate: int, form: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=form)
    return file.getvalue()


def silent_flac(seconds: int, rate: int, channels: int) -> bytes:
    """Silence packs 2,000 times and more."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC") as out:
        for _ in range(seconds):
            out.write(np.zeros((rate, channels), np.float32))
    return file.getvalue()


def measured(path: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, __file__, str(path)], capture_output=True, text=True, check=True
    )
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_a_flac_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(silent_flac(600, 48_000, 2))
    assert bomb.stat().st_size < 200_000
    told = measured(bomb)
    assert "may last 30 s (max_seconds)" in str(told["error"])
    assert told["rise_mb"] <= 64
    assert told["cpu_seconds"] <= 0.2


def test_channels_count_too(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(silent_flac(29, 96_000, 8))
    told = measured(bomb)
    assert f"(max_seconds x {MAX_VALUES_A_SECOND})" in str(told["error"])
    assert "8 channels" in str(told["error"])
    assert told["rise_mb"] <= 64
    assert told["cpu_seconds"] <= 0.2


def test_a_sound_within_the_limits_is_decoded_by_blocks(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(silent_flac(29, 48_000, 8))
    told = measured(path)
    assert told["error"] == ""
    assert float(str(told["rise_mb"])) <= 64


def test_blocks_give_what_the_whole_gives() -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 2)).astype(np.float32)
    data = file_of(wave, 44_100)
    whole, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mixed, found = decode_file(data, 30.0, Channels())
    assert (found, mixed.dtype, mixed.shape) == (rate, np.float32, (200_000,))
    assert np.array_equal(mixed, whole.mean(axis=1))


def test_a_header_that_lies_costs_nothing(tmp_path: Path) -> None:
    data = bytearray(file_of(np.zeros(800, np.float32), 8000, "WAV"))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0x7FFF_FFF0)
    path = tmp_path / "lie"
    path.write_bytes(data)
    assert float(str(measured(path)["rise_mb"])) <= 64
    flac = bytearray(silent_flac(2, 8000, 1))
    flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 10])  # STREAMINFO promises 10 samples
    path.write_bytes(flac)
    assert float(str(measured(path)["rise_mb"])) <= 64


@pytest.mark.parametrize("form", ["FLAC", "OGG", "WAV"])
def test_a_clip_of_the_longest_length_is_still_read(form: str) -> None:
    short = MelCodes(MelCodesSettings(max_seconds=0.5))
    fits = np.sin(np.arange(4000) / 5).astype(np.float32) / 2
    assert len(short.read(file_of(fits, 8000, form), "")) > 0
    with pytest.raises(ValueError, match=r"may last 0\.5 s \(max_seconds\)"):
        short.read(file_of(np.tile(fits, 2), 8000, form), "")


def _measure(path: str) -> None:
    """Read a file and print what that took. A small file goes first, so that all code is loaded."""
    MEL.read(file_of(np.sin(np.arange(9000) / 9).astype(np.float32), 44_100), "")
    print(json.dumps(cost_of(MEL.read, Path(path).read_bytes())))


if __name__ == "__main__":
    _measure(sys.argv[1])
