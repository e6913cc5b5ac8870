"""Sound files to waveforms and back. Axes: S samples, C channels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile

from loretta_framework.api import FloatArray
from loretta_plugin_audio.waveforms import MAX_CHANNELS, Channels, take_channels

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
ENCODINGS = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS")
"""What may be inside; libsndfile's other decoders are rarely used and never needed here."""

_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")
"""Looked at first: libsndfile would try its other decoders, MP3 among them, to tell the format."""

RATES = (1000, 384_000)


MAX_VALUES_A_SECOND = 384_000
"""Samples of all channels together, times `max_seconds`: 8 channels at 48 kHz are as much."""

_BLOCK = 1 << 16


def decode_file(data: bytes, max_seconds: float, wanted: Channels) -> tuple[FloatArray, int]:
    """Decode a WAV, FLAC or OGG file and take the channels wanted.

    Returns:
        float32 (S,), or (S, 2) where two channels are wanted, and the rate in Hz.

    Raises:
        ValueError: another format, too long, too many channels, empty, or damaged.
    """
    if data[:4] not in _BEGINNINGS:
        raise ValueError("a sound cannot be read: it is none of WAV, FLAC, OGG")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file, max_seconds)
            # The header may promise less than there is: never read more than was allowed.
            most = min(file.frames, int(max_seconds * file.samplerate) + 1)
            return _taken(file, most, wanted), file.samplerate
    # libsndfile's errors are RuntimeErrors; its Python side lets TypeErrors and others through.
    except Exception as error:
        what = str(error) or type(error).__name__
        raise ValueError(f"a sound cannot be read: {_without_address(what)}") from error


def _taken(file: Any, most: int, wanted: Channels) -> FloatArray:
    """S <= most. By blocks: all channels at once would take several times the memory."""
    wave_S = np.empty(most if wanted.count == 1 else (most, wanted.count), np.float32)
    buffer = np.empty((_BLOCK, file.channels), np.float32)
    done = 0
    while done < most:
        block_SC = file.read(out=buffer[: min(_BLOCK, most - done)])
        if not len(block_SC):
            break
        wave_S[done : done + len(block_SC)] = take_channels(block_SC, wanted)
        done += len(block_SC)
    return wave_S[:done]


def _check_header(file: Any, max_seconds: float) -> None:
    if file.format not in FORMATS or not file.subtype.startswith(ENCODINGS):
        raise ValueError(f"it must be WAV, FLAC or OGG, but is {file.format} with {file.subtype}")
    if not RATES[0] <= file.samplerate <= RATES[1]:
        text = f"{RATES[0]}..{RATES[1]} Hz, but is {file.samplerate} Hz"
        raise ValueError(f"its sample rate must lie in {text}")
    if file.channels > MAX_CHANNELS:
        raise ValueError(f"it may have at most {MAX_CHANNELS} channels, but has {file.channels}")
    if file.frames > max_seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise ValueError(f"it may last {max_seconds:g} s (max_seconds), but lasts {seconds:.2f} s")
    values, limit = file.frames * file.channels, int(max_seconds * MAX_VALUES_A_SECOND)
    if values > limit:
        text = f"may be at most {limit} (max_seconds x {MAX_VALUES_A_SECOND}), but are {values}"
        raise ValueError(f"its samples of {file.channels} channels {text}")


def _without_address(text: str) -> str:
    """libsndfile names the object that it was given; its address differs from run to run."""
    return text.partition(">: ")[2] or text


def encode_wav(wave_S: FloatArray, rate: int) -> bytes:
    """A 16-bit WAV file of (S,) or (S, C)."""
    file = io.BytesIO()
    soundfile.write(file, wave_S, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
