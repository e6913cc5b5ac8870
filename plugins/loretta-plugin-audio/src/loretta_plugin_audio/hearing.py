"""What a judge of sounds is given. Axes: S samples."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_audio.spectrogram import Spectrogram
from loretta_plugin_audio.waveforms import set_level, trim

COLUMNS = 32
_RANGE = 12.0  # nepers, 52 dB: quieter parts tell digits apart less than they disturb
_TRIM_DB = 40.0
_LEVEL = 0.1


def heard(wave_S: FloatArray, rate: int, spectrogram: Spectrogram) -> FloatArray:
    """float32 (1, bands, 32): log-mel stretched to a fixed duration, mean removed per band.

    Speed and the colour of the voice matter less to a judge then, and clips are compared whole.
    """
    log_mel = spectrogram.log_mel(set_level(trim(wave_S, rate, _TRIM_DB), _LEVEL))
    log_mel = np.maximum(log_mel, log_mel.max() - _RANGE)
    places = np.linspace(0, len(log_mel) - 1, COLUMNS)
    frames = np.arange(len(log_mel))
    bands = [np.interp(places, frames, band) for band in log_mel.T]
    stretched = np.stack(bands).astype(np.float32)
    centred: FloatArray = stretched - stretched.mean(axis=1, keepdims=True)
    return centred[None]
