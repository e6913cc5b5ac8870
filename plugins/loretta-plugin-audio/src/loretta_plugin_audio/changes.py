"""Random changes of a clip in training. Axes: S samples."""

from __future__ import annotations

import math

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_audio.clips import Clips
from loretta_plugin_audio.sound_settings import SoundChanges
from loretta_plugin_audio.waveforms import pad, resample


def changed(
    wave_S: FloatArray,
    changes: SoundChanges,
    random: np.random.Generator,
    clips: Clips,
    rate: int,
    crops: bool,
) -> FloatArray:
    """A changed copy of the clip, not longer than `clips.room` unless the clip is.

    Args:
        wave_S: (S,) or (S, 2).
        changes: bounds of the changes.
        random: all randomness comes from here.
        clips: knows the longest clip.
        rate: in Hz.
        crops: whether a clip that is too long is cut; otherwise it stays as long as it is.
    """
    # All numbers are drawn whatever the settings: switching one off leaves the others alone.
    faster = 1 + float(random.uniform(-changes.speed, changes.speed))
    gain_db = float(random.uniform(-changes.gain_db, changes.gain_db))
    wait = float(random.uniform(0, changes.shift_seconds))
    # Drawn only on request: noise comes from the same stream, and runs without it keep theirs.
    place = float(random.random()) if changes.random_crop else None
    if crops and len(wave_S) > clips.room:
        wave_S = clips.window(wave_S, min(math.ceil(clips.room * faster), len(wave_S)), place)
        wave_S = resample(wave_S, rate * faster, rate)[: clips.room]
    elif changes.speed and len(wave_S) < clips.room:
        changed_S = resample(wave_S, rate * faster, rate)
        # A clip that just fits must not become one that does not: keep it as it was.
        wave_S = changed_S if len(changed_S) <= clips.room else wave_S
    silence = min(round(wait * rate), max(clips.room - len(wave_S), 0))
    wave_S = pad(wave_S, silence, 0) * np.float32(10 ** (gain_db / 20))
    if changes.noise_db is not None:
        power = float(np.sqrt((wave_S.astype(np.float64) ** 2).mean()))
        noise_S = random.standard_normal(wave_S.shape, np.float32)
        wave_S = wave_S + noise_S * np.float32(power * 10 ** (-changes.noise_db / 20))
    return np.clip(wave_S, -1, 1)
