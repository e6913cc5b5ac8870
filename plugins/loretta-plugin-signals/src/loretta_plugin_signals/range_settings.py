"""What components whose channels have ranges are told. C: channels."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from loretta_plugin_signals.recording import Doubles
from loretta_plugin_signals.settings import SeriesSettings

Pair = Annotated[tuple[float, float], Field(strict=False)]
Pairs = Annotated[tuple[Pair, ...], Field(strict=False)]


def check_ranges(ranges: tuple[Pair, ...], channels: int) -> None:
    """Raise `ValueError` unless there are no ranges, one, or one a channel, each in order."""
    if len(ranges) not in (0, 1, channels):
        text = f"one pair or one for each of {channels} channels"
        raise ValueError(f"ranges must be {text}, but are {len(ranges)}")
    for low, high in ranges:
        if low >= high:
            raise ValueError(f"a range must be (lowest, highest), but is ({low:g}, {high:g})")


def range_arrays(ranges: tuple[Pair, ...], channels: int) -> tuple[Doubles, Doubles]:
    """float64 (C,) lowest and highest; one pair stands for all channels."""
    pairs_C2 = np.array(ranges * (1 if len(ranges) > 1 else channels), dtype=np.float64)
    return pairs_C2[:, 0], pairs_C2[:, 1]


class ScaledSettings(SeriesSettings):
    """Settings of the components whose channels have ranges."""

    scaling: Literal["quantiles", "mean_std", "fixed"] = Field(
        default="quantiles", description="Where the range of a channel comes from."
    )
    quantile: float = Field(
        default=0.001,
        ge=0,
        lt=0.5,
        description="Part of the training steps below the range, and above it (quantiles).",
    )
    deviations: float = Field(
        default=4.0, gt=0, description="Standard deviations on each side of the mean (mean_std)."
    )
    ranges: Pairs = Field(
        default=(),
        description="Lowest and highest of each channel, or one pair for all (fixed).",
    )

    @model_validator(mode="after")
    def _ranges_fit(self) -> ScaledSettings:
        if (self.scaling == "fixed") != bool(self.ranges):
            text = f"but scaling is {self.scaling} and ranges are {list(self.ranges)}"
            raise ValueError(f"ranges must be given with scaling fixed and only then, {text}")
        check_ranges(self.ranges, len(self.names))
        return self
