"""Waveform to log-mel spectrogram and back. Axes: S samples, T frames, F frequencies, M mel bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.protocols import FloatArray
from loretta_framework.api.random import generator
from loretta_plugin_audio.settings import MelCodesSettings

_MOMENTUM = 0.99 / 1.99  # of the fast Griffin-Lim algorithm (Perraudin, Balazs, Sondergaard 2013)
_POWER_STEPS = 8
_TINY = 1e-8


def mel_filters(rate: int, size: int, bands: int) -> FloatArray:
    """float32 (F, M): triangles of height 1, evenly spaced on the HTK mel scale up to rate / 2."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    places_F1 = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    rising = (places_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places_F1) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


class Spectrogram:
    """The transform that the settings describe.

    Frame t is centred on the middle of the t-th hop, so T hops of sound have exactly T frames.
    """

    def __init__(self, settings: MelCodesSettings) -> None:
        self._length, self._hop = settings.window, settings.hop
        # Twice the window, so that the lowest mel bands are wider than a frequency's distance.
        self._size = 1 << (2 * self._length - 1).bit_length()
        turn = 2 * np.pi * np.arange(self._length) / self._length
        self._window = (0.5 - 0.5 * np.cos(turn)).astype(np.float32)
        self._filters_FM = mel_filters(settings.sample_rate, self._size, settings.n_mels)
        self._back_MF = np.linalg.pinv(self._filters_FM.astype(np.float64)).astype(np.float32)
        full_scale = float(self._window.sum() / 2) ** 2
        self._floor = np.float32(full_scale * 10 ** (settings.floor_db / 10))
        self._iterations = settings.griffin_lim_iterations

    @property
    def silence(self) -> float:
        """The value of a log-mel cell that holds nothing."""
        return float(np.log(self._floor))

    def log_mel(self, wave_S: FloatArray) -> FloatArray:
        """(S,) -> float32 (T, M), natural logarithm of power; S is filled up to whole hops."""
        spectrum_TF = self._transform(np.pad(wave_S, (0, -len(wave_S) % self._hop)))
        power_TF = (np.abs(spectrum_TF) ** 2).astype(np.float32)
        log_mel_TM: FloatArray = np.log(np.maximum(power_TF @ self._filters_FM, self._floor))
        return log_mel_TM

    def sound(self, log_mel_TM: FloatArray) -> FloatArray:
        """(T, M) -> float32 (T * hop,) in -1..1. The same spectrogram gives the same sound."""
        magnitude_TF = self._magnitude(log_mel_TM)
        random = generator(0, "audio/griffin-lim")
        turns_TF = random.random(magnitude_TF.shape, np.float32) * np.float32(2 * np.pi)
        phase_TF = np.exp(1j * turns_TF).astype(np.complex64)
        before_TF = np.zeros_like(phase_TF)
        weights_S = self._weights(len(magnitude_TF))
        for _ in range(self._iterations):
            now_TF = self._transform(self._inverse(magnitude_TF * phase_TF, weights_S))
            phase_TF = now_TF - np.float32(_MOMENTUM) * before_TF
            phase_TF = phase_TF / np.maximum(np.abs(phase_TF), np.float32(_TINY))
            before_TF = now_TF
        wave_S = self._inverse(magnitude_TF * phase_TF, weights_S)
        return wave_S / max(float(np.abs(wave_S).max()), 1.0)

    def _magnitude(self, log_mel_TM: FloatArray) -> FloatArray:
        """(T, M) -> (T, F): magnitudes >= 0 whose mel bands come close to the ones given."""
        mel_TM = np.exp(np.minimum(log_mel_TM, np.float32(40)))
        mel_TM = np.where(log_mel_TM <= self.silence + 1e-3, np.float32(0), mel_TM)
        # The least-squares answer is negative in places. These steps keep it positive and mend what
        # cutting it off at zero broke (Lee and Seung's updates for non-negative least squares).
        power_TF = np.maximum(mel_TM @ self._back_MF, np.float32(_TINY))
        wanted_TF = mel_TM @ self._filters_FM.T
        for _ in range(_POWER_STEPS):
            reached_TF = (power_TF @ self._filters_FM) @ self._filters_FM.T
            power_TF = power_TF * wanted_TF / np.maximum(reached_TF, np.float32(_TINY))
        return np.sqrt(power_TF)

    def _transform(self, wave_S: FloatArray) -> NDArray[np.complex64]:
        """(T * hop,) -> (T, F)."""
        ahead = (self._length - self._hop) // 2
        framed_S = np.zeros(len(wave_S) + self._length - self._hop, np.float32)
        framed_S[ahead : ahead + len(wave_S)] = wave_S
        frames = np.lib.stride_tricks.sliding_window_view(framed_S, self._length)[:: self._hop]
        return np.fft.rfft(frames * self._window, self._size).astype(np.complex64)

    def _weights(self, frames: int) -> FloatArray:
        """What the squared windows add up to at each sample of `frames` frames."""
        squares = np.broadcast_to(self._window**2, (frames, self._length))
        return np.maximum(self._overlap(squares), np.float32(1e-3))

    def _inverse(self, spectrum_TF: NDArray[np.complex64], weights_S: FloatArray) -> FloatArray:
        """(T, F) -> (T * hop,): overlapping frames added, divided by the windows' own sum."""
        frames = np.asarray(np.fft.irfft(spectrum_TF, self._size)[:, : self._length], np.float32)
        sums_S = self._overlap(frames * self._window)
        ahead = (self._length - self._hop) // 2
        kept = slice(ahead, ahead + len(spectrum_TF) * self._hop)
        wave_S: FloatArray = np.asarray(sums_S / weights_S, np.float32)[kept]
        return wave_S

    def _overlap(self, frames: FloatArray) -> FloatArray:
        """Frames (T, window) added up at their places; by hops, since a loop over T is slow."""
        count, parts = len(frames), -(-self._length // self._hop)
        added = np.zeros((count + parts - 1, self._hop), np.float32)
        for part in range(parts):
            hop = frames[:, part * self._hop : (part + 1) * self._hop]  # the last may be shorter
            added[part : part + count, : hop.shape[1]] += hop
        return added.ravel()
