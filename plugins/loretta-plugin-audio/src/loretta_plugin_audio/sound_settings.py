"""What the settings of all audio modalities have in common. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from loretta_framework.api import ModalitySettings, Settings


class SoundSettings(ModalitySettings):
    """How a file becomes a clip: its rate, channel, duration, ends and level."""

    sample_rate: int = Field(
        default=8000, ge=1000, le=192_000, description="Rate of a value; others are resampled."
    )
    mono: Literal["mean", "left", "right"] = Field(
        default="mean", description="What is kept of several channels where one is wanted."
    )
    min_seconds: float = Field(
        default=0.0, ge=0, le=3600, description="A sound that lasts shorter is an error."
    )
    max_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Longest file that is decoded, from its header."
    )
    too_long: Literal["error", "crop"] = Field(
        default="error", description="What becomes of a clip that is longer than its tokens hold."
    )
    crop: Literal["start", "centre"] = Field(
        default="start", description="The part that `too_long: crop` keeps."
    )
    trim_db: float | None = Field(
        default=None, gt=0, description="Cut ends this far below the loudest 10 ms; null: never."
    )
    level: float | None = Field(
        default=None, gt=0, le=1, description="Root mean square of every clip read; null: as it is."
    )

    @model_validator(mode="after")
    def _seconds_are_in_order(self) -> SoundSettings:
        if self.min_seconds > self.max_seconds:
            raise ValueError(
                f"min_seconds must not exceed max_seconds, but {self.min_seconds:g} > "
                f"{self.max_seconds:g}"
            )
        return self


class FrameSettings(SoundSettings):
    """Of a modality that cuts a clip into overlapping frames."""

    window_seconds: float = Field(
        default=0.032, gt=0, le=1, description="Length of the Hann window of a frame."
    )
    hop_seconds: float = Field(default=0.016, gt=0, le=1, description="Time between frames.")

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return round(self.hop_seconds * self.sample_rate)


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
    random_crop: bool = Field(
        default=False,
        description="Draw the part of a clip that is too long, instead of the one `crop` names.",
    )


class WaveSettings(SoundSettings):
    """Of a modality whose values are waveforms: tokens of a clip, and random changes of it."""

    min_tokens: int = Field(default=4, ge=1, description="Shorter clips are filled with silence.")
    max_tokens: int = Field(
        default=32, ge=1, description="Tokens of the longest clip; for more see `too_long`."
    )
    augment: SoundChanges | None = Field(
        default=None, description="Random changes before tokenising, in training only."
    )

    @model_validator(mode="after")
    def _tokens_are_in_order(self) -> WaveSettings:
        if self.min_tokens > self.max_tokens:
            raise ValueError(
                f"min_tokens must not exceed max_tokens, but {self.min_tokens} > {self.max_tokens}"
            )
        if self.augment and self.augment.random_crop and self.too_long != "crop":
            raise ValueError(
                "too_long must be 'crop' where augment asks for random_crop, but is "
                f"'{self.too_long}'"
            )
        return self
