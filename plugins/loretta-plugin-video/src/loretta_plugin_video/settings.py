"""Settings of `video.frames` and `video.vq`. This module must not import torch."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from loretta_framework.api import Bounds, ComponentNode, ModalitySettings, Settings

LONGEST = 1 << 20
"""Tokens of a clip: more is a slip of the pen."""


class Augment(Settings):
    """Random changes before tokenising, in training only; all frames of a clip change alike."""

    flip: float = Field(
        default=0.0, ge=0, le=1, description="How often left and right change places."
    )
    crop: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Up to this part of height and width is cut off at the edges.",
    )


class ClipSettings(ModalitySettings):
    """What all clips have in common: their shape, and which frames of a file are taken."""

    frames: int = Field(default=16, ge=1, le=4096, description="Frames of a value.")
    height: int = Field(
        default=64, ge=1, le=4096, description="Rows of a frame; other sizes are resized."
    )
    width: int = Field(
        default=64, ge=1, le=4096, description="Columns of a frame; other sizes are resized."
    )
    channels: Literal[1, 3] = Field(default=3, description="1: grey, 3: red, green, blue.")
    fps: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Frames a second, whatever rate the file has; null: see `every`.",
    )
    every: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Without `fps`: each so-and-so-many-th frame is taken.",
    )
    too_long: Literal["error", "crop"] = Field(
        default="error", description="What becomes of a file that has more frames."
    )
    crop: Literal["start", "middle"] = Field(
        default="start", description="The part that `too_long: crop` keeps."
    )
    too_short: Literal["error", "hold"] = Field(
        default="error",
        description="What becomes of a file that has fewer frames; hold: the last one stands still.",
    )
    max_frames: int = Field(
        default=20_000, ge=1, description="Files with more frames are refused before decoding."
    )
    max_pixels: int = Field(
        default=9_000_000, ge=1, description="Files with larger frames are refused before decoding."
    )
    max_seconds: float = Field(
        default=600.0, gt=0, description="Files that last longer are refused before decoding."
    )
    augment: Augment | None = Field(
        default=None, description="Random changes before tokenising, in training only."
    )

    @model_validator(mode="after")
    def _one_way_to_choose_frames(self) -> ClipSettings:
        if self.fps is not None and self.every > 1:
            raise ValueError(f"every must be 1 beside fps, but is {self.every}; leave out one")
        return self

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width, channels: the shape of every value."""
        return self.frames, self.height, self.width, self.channels


class ImageNode(ComponentNode):
    """A component of another plugin: its name in recipes, and its settings."""

    kind: str = Field(description="An image tokenizer, for example image.patch_codes.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Its settings; give it the height and width of the clip."
    )

    @field_validator("settings")
    @classmethod
    def _is_not_augmented(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if settings.get("augment") is not None:
            text = f"augment must be null, but is {settings['augment']}"
            raise ValueError(f"{text}: each frame would change otherwise; use the video's own")
        return settings


class FramesSettings(ClipSettings):
    """Settings of `video.frames`."""

    image: ImageNode = Field(description="What turns a frame into tokens.")
    tokens_per_frame: int = Field(
        ge=1,
        le=LONGEST,
        description="Tokens that `image` makes of a frame; a wrong number is refused with the right one.",
    )
    vocab_size: int = Field(
        ge=2, description="Ids that `image` has; a wrong number is refused with the right one."
    )

    def bounds(self) -> Bounds:
        """The tokens of all frames, one frame after another."""
        tokens = self.frames * self.tokens_per_frame
        return Bounds(self.vocab_size, min_tokens=tokens, max_tokens=tokens)


class VqSettings(ClipSettings):
    """Settings of `video.vq`."""

    downsample: Annotated[tuple[int, int, int], Field(strict=False)] = Field(
        default=(4, 8, 8),
        description="Frames, rows and columns of the block that one token stands for: powers of two.",
    )
    levels: Annotated[tuple[int, ...], Field(strict=False)] = Field(
        default=(8, 8, 8, 4),
        description="Steps of each number of a code; their product is the number of codes.",
    )
    hidden: int = Field(
        default=32, ge=4, le=1024, multiple_of=4, description="Channels of the first layer."
    )
    max_hidden: int = Field(
        default=128, ge=4, le=4096, multiple_of=4, description="Channels double up to this."
    )
    steps: int = Field(
        default=2000,
        ge=0,
        description="Training steps of the fit; 0 leaves the weights random, to look at shapes and speed.",
    )
    batch: int = Field(default=8, ge=1, le=1024, description="Clips of a training step.")
    lr: float = Field(default=1e-3, gt=0, le=1, description="Peak learning rate of the fit.")

    @field_validator("downsample")
    @classmethod
    def _powers_of_two(cls, factors: tuple[int, ...]) -> tuple[int, ...]:
        if any(factor < 1 or factor & (factor - 1) for factor in factors):
            raise ValueError(f"downsample must be powers of two, but is {list(factors)}")
        return factors

    @field_validator("levels")
    @classmethod
    def _levels_are_some(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(levels) <= 8 or not all(2 <= level <= 256 for level in levels):
            raise ValueError(f"levels must be one to eight of 2..256, but are {list(levels)}")
        if prod(levels) > 1 << 20:
            raise ValueError(f"levels must make at most {1 << 20} codes, but make {prod(levels)}")
        return levels

    @model_validator(mode="after")
    def _blocks_fill_the_clip(self) -> VqSettings:
        for name, size, factor in zip(
            ("frames", "height", "width"), self.shape[:3], self.downsample, strict=True
        ):
            if size % factor:
                raise ValueError(f"{name} must be a multiple of {factor}, but is {size}")
        if self.max_hidden < self.hidden:
            raise ValueError(
                f"max_hidden must be at least hidden ({self.hidden}), but is {self.max_hidden}"
            )
        return self

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, height and width."""
        t, h, w = self.downsample
        return self.frames // t, self.height // h, self.width // w

    def bounds(self) -> Bounds:
        """One token for each block of frames, rows and columns."""
        tokens = prod(self.grid)
        return Bounds(prod(self.levels), min_tokens=tokens, max_tokens=tokens)
