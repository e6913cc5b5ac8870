"""Settings of the audio modalities. Torch-free and numpy-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from loretta_framework.api.settings import ModalitySettings, Settings
from loretta_framework.api.specs import Bounds


class SoundChanges(Settings):
    """Largest random change of a clip; each is drawn uniformly up to its bound."""

    speed: float = Field(
        default=0.0, ge=0, le=0.5, description="Relative change of speed, and pitch with it."
    )
    shift_seconds: float = Field(default=0.0, ge=0, description="Silence put before the sound.")
    gain_db: float = Field(default=0.0, ge=0, le=40, description="Change of level, both ways.")
    noise_db: float | None = Field(
        default=None, ge=0, le=120, description="Add white noise this far below the sound's level."
    )


class MelCodesSettings(ModalitySettings):
    """Settings of `audio.mel_codes`."""

    sample_rate: int = Field(
        default=8000, ge=1000, le=192_000, description="Rate of a value; others are resampled."
    )
    codebook_size: int = Field(default=128, ge=2, le=65_536, description="Codes of a token.")
    n_mels: int = Field(default=32, ge=4, le=256, description="Mel bands up to half the rate.")
    window_seconds: float = Field(
        default=0.032, gt=0, le=1, description="Length of the Hann window of a frame."
    )
    hop_seconds: float = Field(default=0.016, gt=0, le=1, description="Time between frames.")
    frames_per_token: int = Field(default=3, ge=1, le=64, description="Frames that one code names.")
    min_tokens: int = Field(default=4, ge=1, description="Shorter clips are filled with silence.")
    max_tokens: int = Field(default=32, ge=1, description="A longer clip is an error.")
    floor_db: float = Field(
        default=-66.0,
        ge=-150,
        le=-20,
        description="Quieter parts of the spectrum count as silence; 0 is a full-scale sine.",
    )
    trim_db: float | None = Field(
        default=40.0, gt=0, description="Cut ends this far below the loudest 10 ms; null: never."
    )
    level: float | None = Field(
        default=0.1, gt=0, le=1, description="Root mean square of every clip read; null: as it is."
    )
    max_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Longest file that is decoded, from its header."
    )
    griffin_lim_iterations: int = Field(
        default=32, ge=1, le=1000, description="More give cleaner sound and take longer."
    )
    augment: SoundChanges | None = Field(
        default=None, description="Random changes before tokenising, in training only."
    )

    @model_validator(mode="after")
    def _frames_overlap_and_bounds_are_in_order(self) -> MelCodesSettings:
        if self.window < 2 * self.hop or self.hop < 1:
            raise ValueError(
                "window_seconds must be at least twice hop_seconds, and a hop at least a sample, "
                f"but they are {self.window} and {self.hop} samples; without overlap no sound can "
                "be made from a spectrogram"
            )
        if self.min_tokens > self.max_tokens:
            raise ValueError(
                f"min_tokens must not exceed max_tokens, but {self.min_tokens} > {self.max_tokens}"
            )
        return self

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return round(self.hop_seconds * self.sample_rate)

    @property
    def token_samples(self) -> int:
        """Samples of one token."""
        return self.hop * self.frames_per_token

    def bounds(self) -> Bounds:
        """`codebook_size` ids, `min_tokens` to `max_tokens` tokens."""
        return Bounds(self.codebook_size, self.min_tokens, self.max_tokens)
