"""Sound files to waveforms and back. Axes: S samples, C channels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile
import soxr

from loretta_framework.api.protocols import FloatArray

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
ENCODINGS = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS")
"""What may be inside; libsndfile's other decoders are rarely used and never needed here."""

_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")
"""Looked at first: libsndfile would try its other decoders, MP3 among them, to tell the format."""

MAX_CHANNELS = 8
RATES = (1000, 384_000)


MAX_VALUES_A_SECOND = 384_000
"""Samples of all channels together, times `max_seconds`: 8 channels at 48 kHz are as much."""

_BLOCK = 1 << 16


def decode_file(data: bytes, max_seconds: float) -> tuple[FloatArray, int]:
    """Decode a WAV, FLAC or OGG file and mix its channels.

    Returns:
        float32 (S,), the mean of the channels, and the rate in Hz.

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
            return _mixed(file, most), file.samplerate
    # libsndfile's errors are RuntimeErrors; its Python side lets TypeErrors and others through.
    except Exception as error:
        what = str(error) or type(error).__name__
        raise ValueError(f"a sound cannot be read: {_without_address(what)}") from error


def _mixed(file: Any, most: int) -> FloatArray:
    """(S,), S <= most. By blocks: all channels at once would take several times the memory."""
    wave_S = np.empty(most, np.float32)
    buffer = np.empty((_BLOCK, file.channels), np.float32)
    done = 0
    while done < most:
        block_SC = file.read(out=buffer[: min(_BLOCK, most - done)])
        if not len(block_SC):
            break
        wave_S[done : done + len(block_SC)] = block_SC.mean(axis=1)
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
    """A 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, wave_S, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def to_mono(wave: Any) -> FloatArray:
    """A waveform (S,), float or int16, as float32.

    Raises:
        ValueError: another shape or type, no samples, or values that are not finite.
    """
    wave_S = np.asarray(wave)
    if wave_S.ndim != 1:
        raise ValueError(f"a waveform must be (samples,), but is {wave_S.shape}; mix its channels")
    if wave_S.dtype == np.int16:
        wave_S = wave_S.astype(np.float32) / np.float32(32_768)
    if not np.issubdtype(wave_S.dtype, np.floating):
        raise ValueError(f"a waveform must be float or int16, but is {wave_S.dtype}")
    if not wave_S.size:
        raise ValueError("a waveform must have at least 1 sample, but has none")
    with np.errstate(over="ignore"):
        wave_S = wave_S.astype(np.float32, copy=False)
    if not np.isfinite(wave_S).all():
        raise ValueError("a waveform must be finite, but holds NaN or infinite samples")
    return wave_S


def resample(wave_S: FloatArray, rate: float, to: float) -> FloatArray:
    """The waveform at another rate.

    Raises:
        ValueError: it is so short that no sample is left.
    """
    if rate == to:
        return wave_S
    changed_S = np.asarray(soxr.resample(wave_S, rate, to), np.float32)
    if not changed_S.size:
        text = f"{len(wave_S)} samples at {rate:g} Hz are none at {to:g} Hz"
        raise ValueError(f"a waveform must have at least 1 sample, but {text}")
    return changed_S


def trim(wave_S: FloatArray, rate: int, below_db: float) -> FloatArray:
    """Without the ends that lie `below_db` below the loudest 10 ms. Silence is left as it is."""
    step = max(rate // 100, 1)
    blocks = -(-len(wave_S) // step)
    padded_S = np.pad(wave_S.astype(np.float64), (0, blocks * step - len(wave_S)))
    power_N = (padded_S.reshape(blocks, step) ** 2).mean(axis=1)
    if not power_N.max():
        return wave_S
    heard = np.flatnonzero(power_N > power_N.max() * 10 ** (-below_db / 10))
    return wave_S[heard[0] * step : (heard[-1] + 1) * step]


def set_level(wave_S: FloatArray, level: float) -> FloatArray:
    """Scaled to the root mean square `level`, or to less where the peak would leave -1..1."""
    wide_S = wave_S.astype(np.float64)
    power = float(np.sqrt((wide_S**2).mean()))
    if not power:
        return wave_S
    scaled_S = wide_S * (level / power)
    return np.asarray(scaled_S / max(float(np.abs(scaled_S).max()), 1.0), np.float32)
