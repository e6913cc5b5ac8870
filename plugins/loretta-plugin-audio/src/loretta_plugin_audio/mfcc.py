"""Mel-frequency cepstral coefficients, and a rough way back.

Axes: S samples, T frames, M mel bands, C coefficients, F frequencies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import FloatArray
from loretta_plugin_audio.mel import MelBands
from loretta_plugin_audio.settings import MfccBytesSettings
from loretta_plugin_audio.stft import Stft

FLOOR = 1e-6
"""Added before each logarithm, as torchaudio does: silence has a logarithm too."""

_HIGHEST = 30.0
"""Nepers; of coefficients that no sound has, the exponentials stay finite."""


def cosines(bands: int, coefficients: int) -> NDArray[np.float64]:
    """(M, C): the orthonormal discrete cosine transform of type II."""
    places_M1 = (np.arange(bands)[:, None] + 0.5) * np.pi / bands
    cosines_MC: NDArray[np.float64] = np.cos(places_M1 * np.arange(coefficients)) * np.sqrt(
        2 / bands
    )
    cosines_MC[:, 0] /= np.sqrt(2)
    return cosines_MC


class Mfcc:
    """The transform that the settings describe.

    Without `energy` it is torchaudio's `MFCC(log_mels=True)` with `center=False` and windows as
    long as the transform. With it, coefficient 0 is replaced by log(sum of squared samples + 1e-6).
    """

    def __init__(self, settings: MfccBytesSettings) -> None:
        self._settings = settings
        self._stft = Stft(settings.window, settings.hop, settings.window, centred=False)
        self._bands = MelBands(settings.sample_rate, settings.window, settings.n_mels)
        self._cosines_MC = cosines(settings.n_mels, settings.coefficients)

    def forward(self, wave_S: FloatArray) -> FloatArray:
        """(S,) -> float32 (T, C), T whole windows."""
        power_TF = np.abs(self._stft.forward(wave_S)).astype(np.float64) ** 2
        log_mel_TM = np.log(power_TF @ self._bands.filters_FM + FLOOR)
        values_TC = log_mel_TM @ self._cosines_MC
        if self._settings.energy:
            values_TC[:, 0] = self._energy(wave_S)
        return values_TC.astype(np.float32)

    def sound(self, values_TC: FloatArray) -> FloatArray:
        """(T, C) -> float32 (S,) in -1..1: what the coefficients still say of the sound.

        They keep the coarse shape of the spectrum alone: words can be told, voices hardly.
        """
        shape_TC = values_TC.astype(np.float64)
        if self._settings.energy:
            shape_TC[:, 0] = 0
        log_mel_TM = np.clip(shape_TC @ self._cosines_MC.T, -_HIGHEST, _HIGHEST)
        power_TF = self._bands.power(np.exp(log_mel_TM).astype(np.float32))
        if self._settings.energy:
            wanted_T = np.exp(np.clip(values_TC[:, :1], None, _HIGHEST)) / self._settings.window
            power_TF = power_TF * wanted_T / power_TF.sum(axis=1, keepdims=True)
        magnitude_TF = np.sqrt(power_TF).astype(np.float32)
        wave_S = self._stft.sound(magnitude_TF, self._settings.griffin_lim_iterations)
        if self._settings.energy:
            wave_S = self._with_energy(wave_S, values_TC[:, 0])
        return wave_S / max(float(np.abs(wave_S).max()), 1.0)

    def _energy(self, wave_S: FloatArray) -> NDArray[np.float64]:
        """(S,) -> (T,)."""
        windows_TL = np.lib.stride_tricks.sliding_window_view(wave_S, self._settings.window)
        squares_TL = windows_TL[:: self._settings.hop].astype(np.float64) ** 2
        energy_T: NDArray[np.float64] = np.log(squares_TL.sum(axis=1) + FLOOR)
        return energy_T

    def _with_energy(self, wave_S: FloatArray, energy_T: FloatArray) -> FloatArray:
        """Louder or quieter over time: frames that overlap by half weaken each other a lot."""
        gain_T = np.exp(np.clip((energy_T - self._energy(wave_S)) / 2, -_HIGHEST, _HIGHEST))
        middles_T = np.arange(len(gain_T)) * self._settings.hop + self._settings.window / 2
        return np.asarray(wave_S * np.interp(np.arange(len(wave_S)), middles_T, gain_T), np.float32)
