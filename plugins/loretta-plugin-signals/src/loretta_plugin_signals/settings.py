"""What all components of the plugin are told: channels, the grid of steps, policies, pictures.

S: steps of a series, C: its channels. This module must not import torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from loretta_framework.api import ModalitySettings, Settings

Name = Annotated[str, Field(min_length=1, max_length=64)]
Names = Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=1024)]
"""Recipes hold lists; a strict tuple would refuse them."""


class AugmentSettings(Settings):
    """How a series is changed in training, drawn anew for each sample. 0 leaves that change out."""

    time_warp: float = Field(
        default=0.0, ge=0, le=1, description="Local speed varies by about this part."
    )
    scale: float = Field(
        default=0.0, ge=0, le=1, description="Each channel is stretched by about this part."
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Noise, in parts of each channel's standard deviation.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability that a channel is held at its mean; one is always left.",
    )


class SeriesSettings(ModalitySettings):
    """Channels and the grid of steps that every series is brought to.

    The grid is given by one of: `steps` (each series is stretched to that many), `rate` with
    `seconds` (steps at that rate), or `longest` (steps stay as recorded).
    """

    channels: Annotated[int, Field(ge=1, le=1024)] | Names = Field(
        description="How many channels, or their names: columns of that name are read, in this order.",
    )
    steps: int | None = Field(
        default=None, ge=2, le=1 << 20, description="Every series is resampled to this many steps."
    )
    rate: float | None = Field(
        default=None, gt=0, description="Every series is resampled to this rate, in hertz."
    )
    seconds: float | None = Field(
        default=None, gt=0, description="Longest series at `rate`, in seconds."
    )
    longest: int | None = Field(
        default=None, ge=1, le=1 << 20, description="Longest series, steps kept as recorded."
    )
    fixed: bool = Field(
        default=False,
        description="With `rate` or `longest`: every series is as long as the longest.",
    )
    too_long: Literal["error", "crop"] = Field(
        default="error", description="Series beyond the longest: refused, or their beginning kept."
    )
    too_short: Literal["error", "hold"] = Field(
        default="error", description="With `fixed`: refused, or their last step is held."
    )
    source_rate: float | None = Field(
        default=None,
        gt=0,
        description="Rate of files without a time column, in hertz; `rate` when not given.",
    )
    time: Name | None = Field(
        default=None, description="Column that holds times in seconds, ascending, not always even."
    )
    pen: Name | None = Field(
        default=None,
        description="Channel that is 1 where a stroke begins (the pen was lifted before), else 0.",
    )
    resampling: Literal["mean", "linear"] = Field(
        default="mean",
        description="Steps that become longer hold the mean over their length, or a point each.",
    )
    max_gap: int = Field(
        default=0,
        ge=0,
        description="Most missing steps in a row that are interpolated; a time step of more than "
        "four median ones is missing steps too.",
    )
    max_steps: int = Field(
        default=1_000_000,
        ge=1,
        le=1 << 28,
        description="Most steps of a file; longer files are refused before they are decoded.",
    )
    y_axis: Literal["up", "down"] = Field(
        default="up", description="Where larger y lie in pictures of channels x and y."
    )
    augment: AugmentSettings | None = Field(
        default=None, description="Changes drawn for each sample in training."
    )

    @model_validator(mode="after")
    def _grid_is_one(self) -> SeriesSettings:
        given = [key for key in ("steps", "rate", "longest") if getattr(self, key) is not None]
        if len(given) != 1:
            text = "must be one of steps, rate (with seconds) and longest"
            raise ValueError(f"the grid {text}, but is {' and '.join(given) or 'not given'}")
        if (self.rate is None) != (self.seconds is None):
            raise ValueError("rate and seconds must be given together")
        if self.rate is None and self.source_rate is not None:
            raise ValueError("source_rate must be given with rate only")
        if self.longest is not None and self.time is not None:
            raise ValueError("a time column must have a grid of steps or rate, but longest is set")
        if not 1 <= self.most_steps <= 1 << 20:
            text = f"1..{1 << 20} steps, but {self.most_steps}"
            raise ValueError(f"rate and seconds must give {text}")
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> SeriesSettings:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"channel names must differ, but are {list(names)}")
        if self.time in names:
            raise ValueError(f"the time column must be none of the channels, but is {self.time!r}")
        if self.pen is not None and (self.pen not in names or len(names) == 1):
            text = f"must be one of several channels {list(names)}, but is {self.pen!r}"
            raise ValueError(f"pen {text}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The channels' names; made up as `c0`, `c1`, ... when only their number is given."""
        if isinstance(self.channels, int):
            return tuple(f"c{number}" for number in range(self.channels))
        return self.channels

    @property
    def named(self) -> bool:
        """Whether files must name their channels."""
        return not isinstance(self.channels, int)

    @property
    def pen_index(self) -> int | None:
        """Which channel tells where strokes begin."""
        return None if self.pen is None else self.names.index(self.pen)

    @property
    def most_steps(self) -> int:
        """Steps of the longest value."""
        if self.rate is not None and self.seconds is not None:
            return round(self.rate * self.seconds)
        return self.steps or self.longest or 0

    @property
    def fewest_steps(self) -> int:
        """Steps of the shortest value."""
        return self.most_steps if self.fixed or self.steps is not None else 1
