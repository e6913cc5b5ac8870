"""Recordings of single words: from folders and tars, as WAV, and with small random changes."""

from __future__ import annotations

import io
import re
import tarfile
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import ShardError
from loretta_framework.api.random import generator
from loretta_framework.shards.preparers.pieces import Piece, fingerprint
from loretta_framework.shards.preparing.card import SourceFile, source_file, source_files

_LARGEST = 1 << 22
"""Bytes of one recording; a spoken digit has some ten thousand."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording: int16 (T,) at a rate in Hz, one channel."""

    wave_T: NDArray[np.int16]
    rate: int

    def wav(self) -> bytes:
        """The recording as a WAV file."""
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self.rate)
            out.writeframes(self.wave_T.astype("<i2").tobytes())
        return file.getvalue()


def read_recordings(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of a folder or tar whose names match, sorted by name.

    Nothing is unpacked to disk.

    Raises:
        ShardError: the tar is damaged, or a file in it is far too large.
    """
    if path.is_dir():
        yield from ((p.relative_to(path).as_posix(), p.read_bytes()) for p in _files(path, pattern))
        return
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for info in archive:
                if not info.isfile() or not pattern.fullmatch(info.name):
                    continue
                if info.size > _LARGEST:
                    raise ValueError(f"'{info.name}' has {info.size} bytes, more than {_LARGEST}")
                file = archive.extractfile(info)
                assert file is not None
                found[info.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise ShardError(
            f"the archive cannot be read: {error}", where=str(path), fix="get the file again"
        ) from error
    yield from sorted(found.items())


def _files(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and pattern.fullmatch(path.relative_to(folder).as_posix())
    )


def recordings_source(path: Path, pattern: re.Pattern[str], url: str) -> SourceFile:
    """The folder's files that match, or the tar, for the data card."""
    if path.is_dir():
        return source_files(_files(path, pattern), path, f"{path.name}/", url)
    return source_file(path, url=url)


def recording(name: str, digit: int, speaker: str, data: bytes, where: str) -> Piece:
    """An item whose data is the `Sound` of a WAV file.

    Raises:
        ShardError: it is no WAV file of one channel and 16 bits, or is empty; `where` names it.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise ValueError("it must have one channel of 16 bits")
            rate, frames = file.getframerate(), file.readframes(file.getnframes())
        wave_T = np.frombuffer(frames, "<i2", len(frames) // 2)
        if not len(wave_T):
            raise ValueError("it is empty")
    except (wave.Error, EOFError, ValueError) as error:
        raise ShardError(
            f"the recording is no WAV file that can be used: {error}",
            where=where,
            fix="get the file again, or leave it out",
        ) from error
    return Piece(name, digit, fingerprint(frames), speaker, Sound(wave_T, rate))


def augmented(sound: Sound, seed: int, *key: str | int) -> Sound:
    """The recording with another speed, a little silence around it, and noise.

    Speed 0.9 to 1.1 by linear interpolation, up to 50 ms of silence at either end, white noise 20
    to 40 dB below the recording. A function of (seed, key) alone.
    """
    draw = generator(seed, "prepare/augment", *key)
    speed = draw.uniform(0.9, 1.1)
    wave_T = sound.wave_T.astype(np.float64)
    at_T = np.arange(max(1, int(len(wave_T) / speed))) * speed
    wave_T = np.interp(at_T, np.arange(len(wave_T)), wave_T)
    silence = [int(draw.uniform(0, 0.05) * sound.rate) for _ in range(2)]
    level = np.sqrt(np.mean(np.square(wave_T))) * 10 ** (-draw.uniform(20, 40) / 20)
    wave_T = np.pad(wave_T, silence)
    wave_T += level * draw.standard_normal(len(wave_T))
    return Sound(np.rint(wave_T).clip(-32768, 32767).astype(np.int16), sound.rate)
