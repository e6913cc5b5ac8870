"""`audio.mfcc_bytes`: MFCC features as bytes, as SVL-MNIST has spoken digits.

Known of SVL-MNIST, and followed here: 39 frames of 12 coefficients and the energy, of windows of
50 ms every 25 ms in one second, frame by frame; `digitize` with 256 edges evenly on 0..1, closed on
the right, so that ids are 0 for values up to 0, 255 for 1, and 256 above 1. The 507 tokens become
509 with the class and end tokens, which the framework adds. With `ranges: unit`, ready-made
features (Zenodo records 3515935 and 4452953) get exactly these ids.

Not known, and chosen here: the number of mel bands (26), the scale and floor of the logarithms
(natural, 1e-6), where a frame's energy stands (first), that no pre-emphasis or lifter is applied,
how clips of another length than a second were treated (silence at the end), and over what their
"standardisation and normalisation" ran (here each coefficient's range in the training data goes to
0..1; standardising before that changes nothing). Features computed here are therefore like those
of the records, not the same: do not mix the two in one modality.

Axes: S samples, T frames, C coefficients, N tokens (T * C).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api import Artifact, FloatArray, IntArray, checked_ids
from loretta_plugin_audio.clips import Clips
from loretta_plugin_audio.decoding import encode_wav
from loretta_plugin_audio.feature_files import (
    MAGIC,
    checked_features,
    read_features,
    write_features,
)
from loretta_plugin_audio.mfcc import Mfcc
from loretta_plugin_audio.picture import rows_png
from loretta_plugin_audio.ranges import Ranges
from loretta_plugin_audio.settings import MfccBytesSettings

_EDGES = np.linspace(0, 1, 256)


class MfccBytes:
    """A `FittedTokenizer` and `Judgeable`; values are float32 (T, C), not scaled."""

    def __init__(self, settings: MfccBytesSettings, context: object = None) -> None:
        self._settings = settings
        self._clips = Clips(settings, settings.samples, f"{settings.seconds:g} seconds")
        self._mfcc = Mfcc(settings)
        self._shape = (settings.frames, settings.coefficients)
        names = ("sample_rate", "window", "hop", "n_mels", "coefficients", "energy", "ranges")
        about = {name: getattr(settings, name) for name in names}
        about["component"] = "audio.mfcc_bytes"
        self._unit = settings.ranges == "unit"
        self._ranges = Ranges(settings.coefficients, self._unit, about)

    def read(self, data: bytes, extension: str) -> FloatArray:
        """The features of a WAV, FLAC or OGG file, or those that a .npy file holds.

        Raises:
            ValueError: another format or shape, too long or short, damaged, not finite, or a sound
                where `ranges` is "unit".
        """
        if data[:6] == MAGIC:
            return read_features(data, *self._shape)
        return self._of_sound(bytes(data))

    def parse(self, value: Any) -> FloatArray:
        """Features (T, C), a waveform at the settings' rate, (waveform, rate), or a file's bytes.

        Raises:
            ValueError: it is none of these, or `read` would refuse it.
        """
        if isinstance(value, bytes | bytearray):
            return self.read(bytes(value), "")
        if isinstance(value, tuple):
            return self._of_sound(value)
        array = np.asarray(value)
        if array.shape == self._shape and array.dtype.kind == "f":
            return checked_features(array)
        return self._of_sound(array)

    def _of_sound(self, sound: Any) -> FloatArray:
        if self._unit:
            raise ValueError(
                f"there must be ready-made features {self._shape} where ranges is 'unit', but this "
                "is a sound, or of another shape; set `ranges: learned` for sounds"
            )
        wave_S = self._clips.within(self._clips.parse(sound))
        padded_S = np.pad(wave_S, (0, self._settings.samples - len(wave_S)))
        return self._mfcc.forward(padded_S)

    def write(self, value: FloatArray) -> tuple[bytes, str]:
        """The features as a .npy file."""
        return write_features(self.checked(value)), "npy"

    def show(self, value: FloatArray) -> Sequence[Artifact]:
        """A PNG of the coefficients, each over its own range, the first at the bottom.

        Besides, unless the features are ready-made and their unit unknown, a rough WAV.
        """
        values_TC = self.checked(value)
        picture = Artifact(rows_png(values_TC), "png")
        if self._unit:
            return [picture]
        sound = encode_wav(self._mfcc.sound(values_TC), self._settings.sample_rate)
        return [Artifact(sound, "wav"), picture]

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Learn each coefficient's range; with `ranges: unit` only look at the values.

        Returns:
            See `Ranges.fit`.

        Raises:
            ValueError: there are no values, or one is none.
        """
        return self._ranges.fit(self.checked(value) for value in values)

    def save(self, directory: Path) -> None:
        """Write the ranges as JSON. Raises `ValueError` before the fit."""
        self._ranges.save(directory)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is missing or does not fit."""
        self._ranges.load(directory)

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (N,), frame by frame. Raises `ValueError` for no value, or before the fit."""
        scaled_TC = self._ranges.scaled(self.checked(value))
        return np.digitize(scaled_TC.ravel(), _EDGES, right=True).astype(np.int64)

    def decode(self, ids: IntArray) -> FloatArray:
        """float32 (T, C): the middle of what each id stands for.

        Raises:
            ValueError: not fitted, another number of ids, or ids out of range.
        """
        ids_N = checked_ids(ids, 257)
        if len(ids_N) != self._shape[0] * self._shape[1]:
            frames, coefficients = self._shape
            raise ValueError(
                f"there must be {frames * coefficients} ids ({frames} frames of {coefficients}), "
                f"but are {len(ids_N)}"
            )
        middles_N = np.maximum(ids_N - 0.5, 0) / 255
        return self._ranges.restored(middles_N.reshape(self._shape))

    def features(self, value: FloatArray) -> FloatArray:
        """float32 (1, C, T): the coefficients over their ranges. Raises `ValueError` as `encode`."""
        scaled_TC = self._ranges.scaled(self.checked(value))
        return scaled_TC.T.astype(np.float32)[None]

    def checked(self, value: Any) -> FloatArray:
        """The value itself. Raises `ValueError` when it is not finite float32 (T, C)."""
        if (
            not isinstance(value, np.ndarray)
            or value.dtype != np.float32
            or value.shape != self._shape
        ):
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value)
            raise ValueError(
                f"features must be float32 {self._shape}, but are {found}; `parse` them first"
            )
        return checked_features(value)
