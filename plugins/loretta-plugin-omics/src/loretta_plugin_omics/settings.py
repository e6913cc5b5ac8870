"""Settings of `omics.bins`. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from loretta_framework.api import Bounds, ModalitySettings, Settings

MAX_FEATURES = 65_536

Count = Annotated[int, Field(ge=1, le=MAX_FEATURES)]
# strict=False lets a recipe's list become the tuple that a frozen class should hold.
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=MAX_FEATURES)]


class Augmentation(Settings):
    """What is changed at random in training rows, anew each time one is drawn."""

    missing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Part of the features that is hidden, each independently; 0 hides none.",
    )


class BinsSettings(ModalitySettings):
    """Settings of `omics.bins`."""

    features: Count | Names = Field(
        description="How many features the table has (the fit learns their names from the"
        " training rows, in the table's order), or the names of those to use, in any order."
    )
    bins: int = Field(
        default=16, ge=2, le=4096, description="Quantile bins of each feature. Ids of a position."
    )
    extra: Literal["error", "ignore"] = Field(
        default="error", description="A file with other features is refused, or they are left out."
    )
    max_missing: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Files that lack a larger part of the features than this are refused.",
    )
    augment: Augmentation = Field(
        default=Augmentation(), description="Random changes of training rows."
    )

    @field_validator("features")
    @classmethod
    def _names_differ(cls, features: int | tuple[str, ...]) -> int | tuple[str, ...]:
        if isinstance(features, tuple):
            if "" in features:
                raise ValueError("feature names must not be empty")
            if len(set(features)) < len(features):
                twice = next(name for name in features if features.count(name) > 1)
                raise ValueError(f"features must be named once each, but {twice!r} occurs twice")
        return features

    @property
    def count(self) -> int:
        """The number of features."""
        return self.features if isinstance(self.features, int) else len(self.features)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the features; None when the fit learns them."""
        return None if isinstance(self.features, int) else self.features

    def bounds(self) -> Bounds:
        """One token a feature: a bin (0..bins-1), or the id `bins`, which marks a missing one."""
        return Bounds(
            vocab_size=self.bins + 1,
            min_tokens=self.count,
            max_tokens=self.count,
            slots=(range(self.bins),) * self.count,
        )
