"""What all audio modalities do with a sound: bring it to a clip, keep it within its bounds.

Axes: S samples. A clip is float32 (S,), or (S, 2) for stereo, in -1..1 at the settings' rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_audio.decoding import decode_file
from loretta_plugin_audio.sound_settings import SoundSettings
from loretta_plugin_audio.waveforms import Channels, resample, set_level, to_waveform, trim

_OVER = 1.001  # a clip may leave -1..1 by a rounding error


class Clips:
    """Reads sounds as the settings say.

    Args:
        settings: rate, channel, durations, trimming and level.
        room: samples of the longest clip that its tokens hold.
        limit: what makes that the longest, for messages: "32 max_tokens".
        channels: 1 or 2.
    """

    def __init__(self, settings: SoundSettings, room: int, limit: str, channels: int = 1) -> None:
        self._settings = settings
        self.room = room
        self._limit = limit
        self._channels = Channels(channels, settings.mono)

    def read(self, data: bytes) -> FloatArray:
        """A WAV, FLAC or OGG file as a clip: its channels taken, resampled, trimmed, levelled.

        Raises:
            ValueError: another format, too long or short, damaged, or samples that are not finite.
        """
        return self.parse(decode_file(data, self._settings.max_seconds, self._channels))

    def parse(self, value: Any) -> FloatArray:
        """A waveform (S,) or (S, C) at the settings' rate, (waveform, rate), or a file's bytes.

        Raises:
            ValueError: it is none of these, too long, too short, or not finite.
        """
        if isinstance(value, bytes | bytearray):
            return self.read(bytes(value))
        settings = self._settings
        wave, rate = value if isinstance(value, tuple) else (value, settings.sample_rate)
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate < 1:
            raise ValueError(f"a sample rate must be a whole number of Hz, but is {rate!r}")
        wave_S = to_waveform(wave, self._channels)
        self._check_seconds(len(wave_S) / int(rate))
        wave_S = resample(wave_S, int(rate), settings.sample_rate)
        if settings.trim_db is not None:
            wave_S = trim(wave_S, settings.sample_rate, settings.trim_db)
        if settings.level is not None:
            return set_level(wave_S, settings.level)
        return np.clip(wave_S, -1, 1)

    def _check_seconds(self, seconds: float) -> None:
        least, most = self._settings.min_seconds, self._settings.max_seconds
        if seconds > most:
            text = f"but lasts {seconds:.2f} s"
            raise ValueError(f"a sound may last {most:g} s (max_seconds), {text}")
        if seconds < least:
            text = f"but lasts {seconds:.3f} s"
            raise ValueError(f"a sound must last {least:g} s (min_seconds), {text}")

    def checked(self, value: Any) -> FloatArray:
        """The clip itself. Raises `ValueError` when it is no clip as `parse` gives them."""
        shape = "(samples,)" if self._channels.count == 1 else "(samples, 2)"
        ends = value.shape[1:] if isinstance(value, np.ndarray) and value.ndim else None
        right = ends == (() if self._channels.count == 1 else (2,))
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or not right:
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value)
            raise ValueError(f"a sound must be float32 {shape}, but is {found}; `parse` it first")
        if not value.size:
            raise ValueError("a waveform must have at least 1 sample, but has none")
        peak = float(np.abs(value).max())
        if not peak <= _OVER:  # written so that NaN is refused too
            raise ValueError(f"a sound must lie in -1..1, but reaches {peak:g}; `parse` it first")
        return value

    def within(self, wave_S: FloatArray) -> FloatArray:
        """The clip, or the part of it that `crop` names where `too_long` says so.

        Raises:
            ValueError: it is longer than its tokens hold, and `too_long` is "error".
        """
        return wave_S if len(wave_S) <= self.room else self.window(wave_S, self.room, None)

    def window(self, wave_S: FloatArray, samples: int, place: float | None) -> FloatArray:
        """So many samples of a clip that is too long.

        Args:
            wave_S: the clip.
            samples: not more than it has.
            place: 0..1, where in it, from start to end; None: as `crop` says.

        Raises:
            ValueError: `too_long` is "error".
        """
        if self._settings.too_long == "error":
            rate = self._settings.sample_rate
            raise ValueError(
                f"a sound may last {self.room / rate:.2f} s ({self._limit}), but lasts "
                f"{len(wave_S) / rate:.2f} s; allow more, or set `too_long: crop`"
            )
        if place is None:
            place = 0.0 if self._settings.crop == "start" else 0.5
        start = int(place * (len(wave_S) - samples))
        return wave_S[start : start + samples]
