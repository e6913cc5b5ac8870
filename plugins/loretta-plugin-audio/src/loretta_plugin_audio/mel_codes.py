"""`audio.mel_codes`: one token for each few frames of the log-mel spectrogram.

Axes: S samples, T tokens, D values a token (frames_per_token * n_mels), M mel bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from loretta_framework.api import Codebook, FloatArray, IntArray, generator
from loretta_plugin_audio.clips import Clips
from loretta_plugin_audio.picture import pairs_png
from loretta_plugin_audio.settings import MelCodesSettings
from loretta_plugin_audio.spectrogram import Spectrogram
from loretta_plugin_audio.waves import Waves

PICTURE_FILE = "reconstructions.png"
PICTURED = 8
"""Clips of the fit that `save` draws, before and after."""


class MelCodes(Waves):
    """A `FittedTokenizer`, `Augmenting` and `Judgeable`; values are float32 (S,) in -1..1.

    The class is its own factory and needs no context.
    """

    def __init__(self, settings: MelCodesSettings, context: object = None) -> None:
        room = settings.max_tokens * settings.token_samples
        clips = Clips(settings, room, f"{settings.max_tokens} max_tokens")
        super().__init__(settings, clips, Spectrogram(settings))
        self._settings = settings
        names = ("sample_rate", "n_mels", "window", "hop", "frames_per_token", "floor_db")
        about = {name: getattr(settings, name) for name in names}
        values = settings.frames_per_token * settings.n_mels
        about["component"] = "audio.mel_codes"
        self._codebook = Codebook(settings.codebook_size, values, about)
        self._pictured: list[FloatArray] = []

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn the codes from clips, and from a changed copy of each when `augment` is set.

        Returns:
            See `Codebook.fit`; distortion is per token, in squared nepers. Besides `error_db`: the
            root mean square error of a cell of the spectrogram.

        Raises:
            ValueError: there are no clips, or one is no value or too long.
        """
        figures = self._codebook.fit(self._blocks(values, seed), seed)
        cells = self._settings.frames_per_token * self._settings.n_mels
        nepers = math.sqrt(figures["distortion"] / cells)
        return {**figures, "error_db": nepers * 10 / math.log(10)}

    def _blocks(self, values: Iterable[FloatArray], seed: int) -> Iterator[FloatArray]:
        self._pictured = []
        for number, value in enumerate(values):
            vectors_TD = self._vectors(value)
            self._keep(vectors_TD, number, seed)
            yield vectors_TD
            if self._settings.augment:
                random = generator(seed, "audio.mel_codes/fit", number)
                yield self._vectors(self.augment(value, random))

    def _keep(self, vectors_TD: FloatArray, number: int, seed: int) -> None:
        """Every clip is as likely to be pictured as any other, however many follow."""
        if number < PICTURED:
            self._pictured.append(vectors_TD)
            return
        place = int(generator(seed, "audio.mel_codes/picture", number).integers(number + 1))
        if place < PICTURED:
            self._pictured[place] = vectors_TD

    def save(self, directory: Path) -> None:
        """Write the codebook as npy and JSON, and after a fit `reconstructions.png`.

        That shows spectrograms of clips of the fit, and below each what its codes say.

        Raises:
            ValueError: before the fit.
        """
        self._codebook.save(directory)
        if self._pictured:
            restored = [
                self._codebook.decode(self._codebook.encode(vectors_TD))
                for vectors_TD in self._pictured
            ]
            bands = self._settings.n_mels
            pairs = [
                (before.reshape(-1, bands), after.reshape(-1, bands))
                for before, after in zip(self._pictured, restored, strict=True)
            ]
            (directory / PICTURE_FILE).write_bytes(pairs_png(pairs))

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is missing or does not fit."""
        self._codebook.load(directory)
        self._pictured = []

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

    def _vectors(self, value: FloatArray) -> FloatArray:
        """(S,) -> (T, D), filled with silence to whole tokens and to `min_tokens`."""
        settings, wave_S = self._settings, self._clips.within(self.checked(value))
        tokens = max(-(-len(wave_S) // settings.token_samples), settings.min_tokens)
        padded_S = np.pad(wave_S, (0, tokens * settings.token_samples - len(wave_S)))
        return self._spectrogram.log_mel(padded_S).reshape(tokens, -1)
