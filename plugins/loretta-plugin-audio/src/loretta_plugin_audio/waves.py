"""The doors that modalities share whose values are waveforms. Axes: S samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from loretta_framework.api import Artifact, FloatArray
from loretta_plugin_audio.changes import changed
from loretta_plugin_audio.clips import Clips
from loretta_plugin_audio.decoding import encode_wav
from loretta_plugin_audio.hearing import heard
from loretta_plugin_audio.picture import spectrogram_png
from loretta_plugin_audio.sound_settings import WaveSettings
from loretta_plugin_audio.spectrogram import Spectrogram


class Waves:
    """`Modality`, `Augmenting` and `Judgeable`; values are float32 (S,) or (S, 2) in -1..1.

    Args:
        settings: of the modality.
        clips: made from them.
        spectrogram: what people are shown, and judges hear.
    """

    def __init__(self, settings: WaveSettings, clips: Clips, spectrogram: Spectrogram) -> None:
        self._rate, self._changes = settings.sample_rate, settings.augment
        self._crops = settings.too_long == "crop"
        self._clips, self._spectrogram = clips, spectrogram

    def read(self, data: bytes, extension: str) -> FloatArray:
        """A WAV, FLAC or OGG file as a value: resampled, trimmed and levelled by the settings.

        Raises:
            ValueError: another format, too long or short, damaged, or samples that are not finite.
        """
        return self._clips.read(data)

    def parse(self, value: Any) -> FloatArray:
        """A waveform (S,) or (S, C) at the settings' rate, (waveform, rate), or a file's bytes.

        Raises:
            ValueError: it is none of these, too long, too short, or not finite.
        """
        return self._clips.parse(value)

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """A 16-bit WAV."""
        return encode_wav(self.checked(value), self._rate), "wav"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """A WAV to listen to, and the log-mel spectrogram as a PNG."""
        sound, _ = self.write(value)
        picture = spectrogram_png(self._spectrogram.log_mel(_one_channel(value)))
        return [Artifact(sound, "wav"), Artifact(picture, "png")]

    def augment(self, value: FloatArray, random: np.random.Generator) -> FloatArray:
        """A changed copy as the settings ask, never longer than `max_tokens`."""
        wave_S = self.checked(value)
        if self._changes is None:
            return wave_S
        return changed(wave_S, self._changes, random, self._clips, self._rate, self._crops)

    def features(self, value: FloatArray) -> FloatArray:
        """float32 (1, bands, 32): see `hearing.heard`; of a clip that is too long, what is kept.

        Raises:
            ValueError: no value, or too long where that is an error.
        """
        wave_S = self.checked(value)
        if self._crops:
            wave_S = self._clips.within(wave_S)
        return heard(_one_channel(wave_S), self._rate, self._spectrogram)

    def checked(self, value: Any) -> FloatArray:
        """The value itself. Raises `ValueError` when it is not what `parse` gives."""
        return self._clips.checked(value)


def _one_channel(wave_S: FloatArray) -> FloatArray:
    return wave_S if wave_S.ndim == 1 else np.asarray(wave_S.mean(axis=1), np.float32)
