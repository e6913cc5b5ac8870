"""`audio.mulaw`: each sample is a token, by the companding formula of telephony (ITU-T G.711).

Axes: S samples, T tokens.
"""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray, IntArray, checked_ids
from loretta_plugin_audio.clips import Clips
from loretta_plugin_audio.settings import MelCodesSettings, MulawSettings
from loretta_plugin_audio.spectrogram import Spectrogram
from loretta_plugin_audio.waveforms import pad
from loretta_plugin_audio.waves import Waves


def companded(wave_S: FloatArray, levels: int) -> IntArray:
    """Samples in -1..1 as int64 ids in 0..levels-1, with mu = levels - 1.

    sign(x) ln(1 + mu |x|) / ln(1 + mu), spread over the ids and rounded. In float64: of float32
    logarithms the last digit, and with it a sample at the edge of two ids, differs by machine.
    """
    wide_S = np.clip(wave_S.astype(np.float64), -1, 1)
    mu = levels - 1
    squeezed_S = np.sign(wide_S) * np.log1p(mu * np.abs(wide_S)) / np.log1p(mu)
    return np.asarray((squeezed_S + 1) / 2 * mu + 0.5, np.int64)


def expanded(ids_S: IntArray, levels: int) -> FloatArray:
    """float32 samples in -1..1: the way back of `companded`."""
    mu = levels - 1
    squeezed_S = ids_S / mu * 2 - 1
    wide_S = np.sign(squeezed_S) * np.expm1(np.abs(squeezed_S) * np.log1p(mu)) / mu
    return np.asarray(wide_S, np.float32)


class Mulaw(Waves):
    """A `Tokenizer`, `Augmenting` and `Judgeable`; values are float32 (S,) or (S, 2) in -1..1.

    Nothing is learned, and nothing is lost but the rounding of a sample. In stereo the tokens
    alternate: left, right, left, right.
    """

    def __init__(self, settings: MulawSettings, context: object = None) -> None:
        room = settings.max_tokens // settings.channels
        limit = f"{settings.max_tokens} max_tokens"
        clips = Clips(settings, room, limit, settings.channels)
        super().__init__(settings, clips, Spectrogram(_shown(settings.sample_rate)))
        self._settings = settings

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,), silence at the end up to `min_tokens`.

        Raises:
            ValueError: no value, or a clip too long.
        """
        settings, wave_S = self._settings, self._clips.within(self.checked(value))
        missing = settings.min_tokens // settings.channels - len(wave_S)
        return companded(pad(wave_S, 0, max(missing, 0)).ravel(), settings.levels)

    def decode(self, ids: IntArray) -> FloatArray:
        """float32 (S,) or (S, 2). In stereo a last token without its partner is left out.

        Raises:
            ValueError: no whole sample, or ids out of range.
        """
        ids_T, channels = checked_ids(ids, self._settings.levels), self._settings.channels
        if len(ids_T) < channels:
            raise ValueError(
                f"a sound must have at least {channels} tokens (channels), but has {len(ids_T)}"
            )
        wave_S = expanded(ids_T[: len(ids_T) // channels * channels], self._settings.levels)
        return wave_S if channels == 1 else wave_S.reshape(-1, channels)


def _shown(rate: int) -> MelCodesSettings:
    """What people and judges are given does not depend on how a clip is tokenised."""
    return MelCodesSettings(sample_rate=rate)
