"""Short-time Fourier transform, its inverse, and Griffin-Lim.

Axes: S samples, T frames, L samples of a window, F frequencies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import FloatArray, generator

_MOMENTUM = 0.99 / 1.99  # of the fast Griffin-Lim algorithm (Perraudin, Balazs, Sondergaard 2013)
_TINY = 1e-8


class Stft:
    """Frames of a Hann window.

    Args:
        length: samples of the window.
        hop: samples between frames.
        size: points of the transform, at least `length`.
        centred: frame t lies about the middle of the t-th hop, so that T hops have T frames;
            otherwise it begins at the t-th hop, and ends within the sound.
    """

    def __init__(self, length: int, hop: int, size: int, centred: bool) -> None:
        self._length, self._hop, self._size = length, hop, size
        self._around = length - hop if centred else 0
        turn_L = 2 * np.pi * np.arange(length) / length
        self.window_L: FloatArray = (0.5 - 0.5 * np.cos(turn_L)).astype(np.float32)

    def forward(self, wave_S: FloatArray) -> NDArray[np.complex64]:
        """(S,) -> (T, F)."""
        ahead = self._around // 2
        framed_S = np.zeros(len(wave_S) + self._around, np.float32)
        framed_S[ahead : ahead + len(wave_S)] = wave_S
        frames_TL = np.lib.stride_tricks.sliding_window_view(framed_S, self._length)[:: self._hop]
        return np.fft.rfft(frames_TL * self.window_L, self._size).astype(np.complex64)

    def sound(self, magnitude_TF: FloatArray, iterations: int) -> FloatArray:
        """(T, F) -> float32 (S,) by Griffin-Lim. The same magnitudes give the same sound."""
        random = generator(0, "audio/griffin-lim")
        turns_TF = random.random(magnitude_TF.shape, np.float32) * np.float32(2 * np.pi)
        phase_TF = np.exp(1j * turns_TF).astype(np.complex64)
        before_TF = np.zeros_like(phase_TF)
        weights_S = self._weights(len(magnitude_TF))
        for _ in range(iterations):
            now_TF = self.forward(self._inverse(magnitude_TF * phase_TF, weights_S))
            phase_TF = now_TF - np.float32(_MOMENTUM) * before_TF
            phase_TF = phase_TF / np.maximum(np.abs(phase_TF), np.float32(_TINY))
            before_TF = now_TF
        return self._inverse(magnitude_TF * phase_TF, weights_S)

    def _weights(self, frames: int) -> FloatArray:
        """What the squared windows add up to at each sample of `frames` frames."""
        squares_TL = np.broadcast_to(self.window_L**2, (frames, self._length))
        return np.maximum(self._overlap(squares_TL), np.float32(1e-3))

    def _inverse(self, spectrum_TF: NDArray[np.complex64], weights_S: FloatArray) -> FloatArray:
        """(T, F) -> (S,): overlapping frames added, divided by the windows' own sum."""
        frames_TL = np.asarray(np.fft.irfft(spectrum_TF, self._size)[:, : self._length], np.float32)
        sums_S = self._overlap(frames_TL * self.window_L)
        ahead = self._around // 2
        samples = (len(spectrum_TF) - 1) * self._hop + self._length - self._around
        wave_S: FloatArray = np.asarray(sums_S / weights_S, np.float32)[ahead : ahead + samples]
        return wave_S

    def _overlap(self, frames_TL: FloatArray) -> FloatArray:
        """Frames added up at their places; by hops, since a loop over T is slow."""
        count, parts = len(frames_TL), -(-self._length // self._hop)
        added = np.zeros((count + parts - 1, self._hop), np.float32)
        for part in range(parts):
            hop = frames_TL[:, part * self._hop : (part + 1) * self._hop]  # the last may be shorter
            added[part : part + count, : hop.shape[1]] += hop
        return added.ravel()
