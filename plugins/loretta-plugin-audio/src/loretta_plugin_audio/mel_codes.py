"""`audio.mel_codes`: one token for each few frames of the log-mel spectrogram.

Axes: S samples, T tokens, D values a token (frames_per_token * n_mels).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api.codebook import Codebook
from loretta_framework.api.protocols import Artifact, FloatArray, IntArray
from loretta_framework.api.random import generator
from loretta_plugin_audio.decoding import (
    decode_file,
    encode_wav,
    resample,
    set_level,
    to_mono,
    trim,
)
from loretta_plugin_audio.picture import spectrogram_png
from loretta_plugin_audio.settings import MelCodesSettings, SoundChanges
from loretta_plugin_audio.spectrogram import Spectrogram

FEATURE_COLUMNS = 32
_FEATURE_RANGE = 12.0  # nepers, 52 dB: quieter parts tell digits apart less than they disturb
_FEATURE_TRIM_DB = 40.0
_FEATURE_LEVEL = 0.1
_OVER = 1.001  # a value may leave -1..1 by a rounding error


class MelCodes:
    """A `FittedTokenizer`, `Augmenting` and `Judgeable`; values are float32 (S,) in -1..1.

    The class is its own factory and needs no context.
    """

    def __init__(self, settings: MelCodesSettings, context: object = None) -> None:
        self._settings = settings
        self._spectrogram = Spectrogram(settings)
        names = ("sample_rate", "n_mels", "window", "hop", "frames_per_token", "floor_db")
        about = {name: getattr(settings, name) for name in names}
        values = settings.frames_per_token * settings.n_mels
        about["component"] = "audio.mel_codes"
        self._codebook = Codebook(settings.codebook_size, values, about)

    def read(self, data: bytes, extension: str) -> FloatArray:
        """A WAV, FLAC or OGG file as a value: mono, resampled, trimmed, levelled.

        Raises:
            ValueError: another format, too long, empty, damaged, or samples that are not finite.
        """
        return self.parse(decode_file(data, self._settings.max_seconds))

    def parse(self, value: Any) -> FloatArray:
        """A waveform (S,) at the settings' rate, (waveform, rate), or a file's bytes as a value.

        Raises:
            ValueError: it is none of these, too long, empty, or not finite.
        """
        if isinstance(value, bytes | bytearray):
            return self.read(bytes(value), "")
        settings = self._settings
        wave, rate = value if isinstance(value, tuple) else (value, settings.sample_rate)
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate < 1:
            raise ValueError(f"a sample rate must be a whole number of Hz, but is {rate!r}")
        wave_S = to_mono(wave)
        if len(wave_S) > settings.max_seconds * rate:
            text = f"but lasts {len(wave_S) / rate:.2f} s"
            raise ValueError(f"a sound may last {settings.max_seconds:g} s (max_seconds), {text}")
        wave_S = resample(wave_S, int(rate), settings.sample_rate)
        if settings.trim_db is not None:
            wave_S = trim(wave_S, settings.sample_rate, settings.trim_db)
        if settings.level is not None:
            return set_level(wave_S, settings.level)
        return np.clip(wave_S, -1, 1)

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """A 16-bit WAV."""
        return encode_wav(self.checked(value), self._settings.sample_rate), "wav"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """A WAV to listen to, and the log-mel spectrogram as a PNG."""
        wave_S = self.checked(value)
        picture = spectrogram_png(self._spectrogram.log_mel(wave_S))
        return [Artifact(self.write(wave_S)[0], "wav"), Artifact(picture, "png")]

    def augment(self, value: FloatArray, random: np.random.Generator) -> FloatArray:
        """A changed copy as the settings ask, never longer than `max_tokens`."""
        wave_S, changes = self.checked(value), self._settings.augment
        return self._changed(wave_S, changes, random) if changes else wave_S

    def _changed(
        self, wave_S: FloatArray, changes: SoundChanges, random: np.random.Generator
    ) -> FloatArray:
        # All numbers are drawn whatever the settings: switching one off leaves the others alone.
        faster = 1 + float(random.uniform(-changes.speed, changes.speed))
        gain_db = float(random.uniform(-changes.gain_db, changes.gain_db))
        wait = float(random.uniform(0, changes.shift_seconds))
        room = self._settings.max_tokens * self._settings.token_samples
        rate = self._settings.sample_rate
        if changes.speed and len(wave_S) < room:
            changed_S = resample(wave_S, rate * faster, rate)
            # A clip that just fits must not become one that does not: keep it as it was.
            wave_S = changed_S if len(changed_S) <= room else wave_S
        silence = min(round(wait * rate), max(room - len(wave_S), 0))
        wave_S = np.pad(wave_S, (silence, 0)) * np.float32(10 ** (gain_db / 20))
        if changes.noise_db is not None:
            power = float(np.sqrt((wave_S.astype(np.float64) ** 2).mean()))
            noise_S = random.standard_normal(len(wave_S), np.float32)
            wave_S = wave_S + noise_S * np.float32(power * 10 ** (-changes.noise_db / 20))
        return np.clip(wave_S, -1, 1)

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn the codes from clips, and from a changed copy of each when `augment` is set.

        Returns:
            See `Codebook.fit`; distortion is per token, in squared nepers.

        Raises:
            ValueError: there are no clips, or one is no value or too long.
        """
        return self._codebook.fit(self._blocks(values, seed), seed)

    def _blocks(self, values: Iterable[FloatArray], seed: int) -> Iterator[FloatArray]:
        for number, value in enumerate(values):
            yield self._vectors(value)
            if self._settings.augment:
                random = generator(seed, "audio.mel_codes/fit", number)
                yield self._vectors(self.augment(value, random))

    def save(self, directory: Path) -> None:
        """Write the codebook as npy and JSON. Raises `ValueError` before the fit."""
        self._codebook.save(directory)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is missing or does not fit."""
        self._codebook.load(directory)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,). Raises `ValueError` for no value, a clip too long, or before the fit."""
        return self._codebook.encode(self._vectors(value))

    def decode(self, ids: IntArray) -> FloatArray:
        """float32 (T * token_samples,): sound with the spectrogram that the codes name.

        Raises:
            ValueError: not fitted, no ids, or ids out of range.
        """
        vectors_TD = self._codebook.decode(ids)
        if not len(vectors_TD):
            raise ValueError("a sound must have at least 1 token, but has none")
        return self._spectrogram.sound(vectors_TD.reshape(-1, self._settings.n_mels))

    def features(self, value: FloatArray) -> FloatArray:
        """float32 (1, n_mels, 32): log-mel stretched to a fixed duration, mean removed per band.

        Speed and the colour of the voice matter less to a judge then, and clips are compared whole.
        """
        wave_S = trim(self.checked(value), self._settings.sample_rate, _FEATURE_TRIM_DB)
        log_mel = self._spectrogram.log_mel(set_level(wave_S, _FEATURE_LEVEL))
        log_mel = np.maximum(log_mel, log_mel.max() - _FEATURE_RANGE)
        places = np.linspace(0, len(log_mel) - 1, FEATURE_COLUMNS)
        frames = np.arange(len(log_mel))
        bands = [np.interp(places, frames, band) for band in log_mel.T]
        stretched = np.stack(bands).astype(np.float32)
        centred: FloatArray = stretched - stretched.mean(axis=1, keepdims=True)
        return centred[None]

    def checked(self, value: Any) -> FloatArray:
        """The value itself. Raises `ValueError` when it is not float32 (S,), S >= 1, in -1..1."""
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.ndim != 1:
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value)
            raise ValueError(
                f"a sound must be float32 (samples,), but is {found}; `parse` it first"
            )
        if not value.size:
            raise ValueError("a waveform must have at least 1 sample, but has none")
        peak = float(np.abs(value).max())
        if not peak <= _OVER:  # written so that NaN is refused too
            raise ValueError(f"a sound must lie in -1..1, but reaches {peak:g}; `parse` it first")
        return value

    def _vectors(self, value: FloatArray) -> FloatArray:
        """(S,) -> (T, D), filled with silence to whole tokens and to `min_tokens`."""
        settings, wave_S = self._settings, self.checked(value)
        tokens = -(-len(wave_S) // settings.token_samples)
        if tokens > settings.max_tokens:
            longest = settings.max_tokens * settings.token_samples / settings.sample_rate
            raise ValueError(
                f"a sound may last {longest:.2f} s ({settings.max_tokens} max_tokens), "
                f"but lasts {len(wave_S) / settings.sample_rate:.2f} s"
            )
        tokens = max(tokens, settings.min_tokens)
        padded_S = np.pad(wave_S, (0, tokens * settings.token_samples - len(wave_S)))
        return self._spectrogram.log_mel(padded_S).reshape(tokens, -1)
