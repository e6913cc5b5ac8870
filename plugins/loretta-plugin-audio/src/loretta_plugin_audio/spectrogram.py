"""Waveform to log-mel spectrogram and back. Axes: S samples, T frames, M mel bands."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_audio.mel import MelBands
from loretta_plugin_audio.settings import MelCodesSettings
from loretta_plugin_audio.stft import Stft


class Spectrogram:
    """The transform that the settings describe.

    Frame t is centred on the middle of the t-th hop, so T hops of sound have exactly T frames.
    """

    def __init__(self, settings: MelCodesSettings) -> None:
        self._hop = settings.hop
        # Twice the window, so that the lowest mel bands are wider than a frequency's distance.
        size = 1 << (2 * settings.window - 1).bit_length()
        self._stft = Stft(settings.window, settings.hop, size, centred=True)
        self._bands = MelBands(settings.sample_rate, size, settings.n_mels)
        full_scale = float(self._stft.window_L.sum() / 2) ** 2
        self._floor = np.float32(full_scale * 10 ** (settings.floor_db / 10))
        self._iterations = settings.griffin_lim_iterations

    @property
    def silence(self) -> float:
        """The value of a log-mel cell that holds nothing."""
        return float(np.log(self._floor))

    def log_mel(self, wave_S: FloatArray) -> FloatArray:
        """(S,) -> float32 (T, M), natural logarithm of power; S is filled up to whole hops."""
        spectrum_TF = self._stft.forward(np.pad(wave_S, (0, -len(wave_S) % self._hop)))
        power_TF = (np.abs(spectrum_TF) ** 2).astype(np.float32)
        log_mel_TM: FloatArray = np.log(np.maximum(power_TF @ self._bands.filters_FM, self._floor))
        return log_mel_TM

    def sound(self, log_mel_TM: FloatArray) -> FloatArray:
        """(T, M) -> float32 (T * hop,) in -1..1. The same spectrogram gives the same sound."""
        mel_TM = np.exp(np.minimum(log_mel_TM, np.float32(40)))
        mel_TM = np.where(log_mel_TM <= self.silence + 1e-3, np.float32(0), mel_TM)
        wave_S = self._stft.sound(np.sqrt(self._bands.power(mel_TM)), self._iterations)
        return wave_S / max(float(np.abs(wave_S).max()), 1.0)
