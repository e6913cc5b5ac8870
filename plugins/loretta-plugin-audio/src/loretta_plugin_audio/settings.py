"""Settings of each audio modality. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from loretta_framework.api import Bounds
from loretta_plugin_audio.sound_settings import FrameSettings, WaveSettings


class MelCodesSettings(FrameSettings, WaveSettings):
    """Settings of `audio.mel_codes`."""

    codebook_size: int = Field(default=128, ge=2, le=65_536, description="Codes of a token.")
    n_mels: int = Field(default=32, ge=4, le=256, description="Mel bands up to half the rate.")
    frames_per_token: int = Field(default=3, ge=1, le=64, description="Frames that one code names.")
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
    griffin_lim_iterations: int = Field(
        default=32, ge=1, le=1000, description="More give cleaner sound and take longer."
    )

    @model_validator(mode="after")
    def _frames_overlap(self) -> MelCodesSettings:
        if self.window < 2 * self.hop or self.hop < 1:
            raise ValueError(
                "window_seconds must be at least twice hop_seconds, and a hop at least a sample, "
                f"but they are {self.window} and {self.hop} samples; without overlap no sound can "
                "be made from a spectrogram"
            )
        return self

    @property
    def token_samples(self) -> int:
        """Samples of one token."""
        return self.hop * self.frames_per_token

    def bounds(self) -> Bounds:
        """`codebook_size` ids, `min_tokens` to `max_tokens` tokens."""
        return Bounds(self.codebook_size, self.min_tokens, self.max_tokens)


class MulawSettings(WaveSettings):
    """Settings of `audio.mulaw`. A second takes `sample_rate * channels` tokens."""

    levels: int = Field(default=256, ge=2, le=65_536, description="Values a sample can have.")
    channels: Literal[1, 2] = Field(
        default=1, description="2: stereo, as tokens that alternate between left and right."
    )
    min_tokens: int = Field(default=8, ge=1, description="Shorter clips are filled with silence.")
    max_tokens: int = Field(
        default=8000, ge=1, description="Tokens of the longest clip; for more see `too_long`."
    )

    @model_validator(mode="after")
    def _no_half_samples(self) -> MulawSettings:
        if self.min_tokens % self.channels or self.max_tokens % self.channels:
            raise ValueError(
                f"min_tokens and max_tokens must be multiples of {self.channels} (channels), but "
                f"are {self.min_tokens} and {self.max_tokens}"
            )
        return self

    def bounds(self) -> Bounds:
        """`levels` ids, `min_tokens` to `max_tokens` tokens."""
        return Bounds(self.levels, self.min_tokens, self.max_tokens)


class MfccBytesSettings(FrameSettings):
    """Settings of `audio.mfcc_bytes`. The defaults give the 39 x 13 values of SVL-MNIST."""

    sample_rate: int = Field(
        default=16_000, ge=1000, le=192_000, description="Rate of a clip; others are resampled."
    )
    seconds: float = Field(
        default=1.0, gt=0, le=60, description="Of every clip; shorter ones end in silence."
    )
    window_seconds: float = Field(
        default=0.05, gt=0, le=1, description="Length of the Hann window of a frame."
    )
    hop_seconds: float = Field(default=0.025, gt=0, le=1, description="Time between frames.")
    n_mels: int = Field(default=26, ge=2, le=256, description="Mel bands up to half the rate.")
    coefficients: int = Field(default=13, ge=2, le=256, description="Values of a frame.")
    energy: bool = Field(
        default=True, description="The first value of a frame is the logarithm of its energy."
    )
    ranges: Literal["learned", "unit"] = Field(
        default="learned",
        description="What 0 and 255 stand for: each coefficient's range in the training data, or "
        "0..1, for ready-made features that lie there already.",
    )
    griffin_lim_iterations: int = Field(
        default=32, ge=1, le=1000, description="Of the rough sound that `show` makes."
    )

    @model_validator(mode="after")
    def _frames_fit(self) -> MfccBytesSettings:
        if not 1 <= self.hop <= self.window <= self.samples:
            raise ValueError(
                "hop, window and clip must be at least one sample and in ascending order, but "
                f"are {self.hop}, {self.window} and {self.samples} samples"
            )
        if self.coefficients > self.n_mels:
            raise ValueError(
                f"coefficients must not exceed n_mels, but {self.coefficients} > {self.n_mels}"
            )
        return self

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames that lie in a clip as a whole."""
        return 1 + (self.samples - self.window) // self.hop

    def bounds(self) -> Bounds:
        """257 ids (a byte, and one for values above the range); frames x coefficients tokens."""
        tokens = self.frames * self.coefficients
        return Bounds(257, tokens, tokens)
