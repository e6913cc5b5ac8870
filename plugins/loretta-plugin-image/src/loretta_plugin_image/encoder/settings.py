"""Settings of `image.timm`. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from loretta_framework.api import Bounds
from loretta_plugin_image.settings import PictureSettings

_Deviation = Annotated[float, Field(gt=0)]


class TimmSettings(PictureSettings):
    """Settings of `image.timm`."""

    channels: Literal[1, 3] = Field(
        default=3, description="1: grey, 3: red, green, blue; a grey file is repeated in all three."
    )
    # No colon and no slash: timm would take such a name for a place in a hub and download it.
    model: str = Field(
        pattern=r"^\w[\w.]*$",
        description="Name of a network in timm, for example vit_tiny_patch16_224.",
    )
    vectors: Literal["patches", "pooled"] = Field(
        default="patches",
        description="patches: a vector for each place of the network's last map; pooled: one vector.",
    )
    tokens: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Number of vectors of `patches`; a wrong one is refused with the right one.",
    )
    weights: str | None = Field(
        default=None, description="A safetensors file with the network's weights; none: random."
    )
    freeze: bool = Field(default=False, description="Leave the network as it is, in training too.")
    mean: tuple[float, ...] | None = Field(
        default=None, description="Of each channel, to subtract; none: the network's own."
    )
    std: tuple[_Deviation, ...] | None = Field(
        default=None, description="Of each channel, to divide by; none: the network's own."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TimmSettings:
        if self.vectors == "patches" and self.tokens is None:
            raise ValueError(
                "tokens must be given with vectors: patches, but is not; a network that cuts images "
                "into patches makes (height / patch) * (width / patch), and for any other name some "
                "number: the right one is told when the network is built"
            )
        if self.vectors == "pooled" and self.tokens not in (None, 1):
            raise ValueError(f"tokens must be 1 with vectors: pooled, but is {self.tokens}")
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            if numbers is not None and len(numbers) != self.channels:
                raise ValueError(
                    f"{name} must have a number for each of {self.channels} channels, but has "
                    f"{len(numbers)}"
                )
        return self

    def bounds(self) -> Bounds:
        """The vectors of an image; there are no ids."""
        return Bounds(vocab_size=0, min_tokens=self.tokens or 1, max_tokens=self.tokens or 1)
