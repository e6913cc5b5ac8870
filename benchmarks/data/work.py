"""The samples of the data benchmark and the decoding that every reader does for them.

Each reader gets the same bytes and runs the same function on them, so what differs is the reading.
Imports numpy, Pillow and soundfile only: this file runs in every peer's environment.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

KINDS = ("images", "audio", "tokens")
SAMPLES = {"images": 12_000, "audio": 3_000, "tokens": 16_384}
PER_SHARD = {"images": 1_000, "audio": 250, "tokens": 1_024}
BATCH = 64

Ids = NDArray[np.int64]


def decode(name: str, data: bytes) -> Ids:
    """A member's tokens by the name of its file: `image.jpg`, `speech.flac`, `text.txt`, `*.npy`."""
    if name.endswith(".jpg"):
        return image_tokens(data)
    if name.endswith(".flac"):
        return sound_tokens(data)
    if name.endswith(".npy"):
        return np.load(io.BytesIO(data), allow_pickle=False).astype(np.int64)
    return np.frombuffer(data, np.uint8).astype(np.int64)


def image_tokens(data: bytes) -> Ids:
    """A JPEG as 256 grey levels of 16 x 16 cells."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("L").resize((16, 16), Image.Resampling.BOX)
    return np.asarray(picture).reshape(-1).astype(np.int64)


def sound_tokens(data: bytes) -> Ids:
    """A FLAC as the loudness of 100 windows."""
    import soundfile

    wave_S, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    power_W = (wave_S[: len(wave_S) // 100 * 100].reshape(100, -1) ** 2).mean(axis=1)
    return np.clip(np.log10(power_W + 1e-9) * 20 + 180, 0, 255).astype(np.int64)


def samples(kind: str, count: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members) of each sample, the same at every call."""
    random = np.random.default_rng(0)
    make = {"images": _picture, "audio": _sound, "tokens": _texts}[kind]
    for number in range(count):
        yield f"{number:06d}", make(random, number)


def _picture(random: np.random.Generator, number: int) -> dict[str, bytes]:
    from PIL import Image

    coarse = random.integers(0, 256, (12, 12, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return {"image.jpg": file.getvalue(), "text.txt": f"picture {number}".encode()}


def _sound(random: np.random.Generator, number: int) -> dict[str, bytes]:
    import soundfile

    time_S = np.arange(16_000) / 16_000
    wave_S = 0.4 * np.sin(2 * np.pi * random.uniform(80, 2000) * time_S)
    wave_S = wave_S + 0.02 * random.standard_normal(16_000)
    file = io.BytesIO()
    soundfile.write(file, wave_S, 16_000, format="FLAC", subtype="PCM_16")
    return {"speech.flac": file.getvalue(), "text.txt": f"sound {number}".encode()}


def _texts(random: np.random.Generator, number: int) -> dict[str, bytes]:
    def letters(count: int) -> bytes:
        return random.integers(97, 123, count).astype(np.uint8).tobytes()

    meta = json.dumps({"digit": str(number % 10)}).encode()
    lengths = {"image": 196, "speech": 256, "text": 24}
    return {f"{name}.txt": letters(count) for name, count in lengths.items()} | {"meta.json": meta}
