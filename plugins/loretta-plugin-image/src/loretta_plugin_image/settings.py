"""Settings of the image modalities. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from loretta_framework.api.settings import ModalitySettings, Settings
from loretta_framework.api.specs import Bounds


class PictureSettings(ModalitySettings):
    """What both image modalities share."""

    height: int = Field(ge=1, le=4096, description="Rows; other sizes are resized.")
    width: int = Field(ge=1, le=4096, description="Columns; other sizes are resized.")
    channels: Literal[1, 3] = Field(default=1, description="1: grey, 3: red, green, blue.")
    background: Literal["black", "white"] = Field(
        default="black", description="What shows through transparent pixels."
    )
    max_pixels: int = Field(
        default=16_000_000,
        ge=1,
        le=80_000_000,
        description="Largest file that is decoded, told from its header.",
    )


class PixelsSettings(PictureSettings):
    """Settings of `image.pixels`."""

    levels: int = Field(
        default=256, ge=2, le=65_536, description="Brightness steps, the ids of a pixel."
    )

    def bounds(self) -> Bounds:
        """One token for each pixel and channel."""
        tokens = self.height * self.width * self.channels
        return Bounds(vocab_size=self.levels, min_tokens=tokens, max_tokens=tokens)


class WarpSettings(Settings):
    """Largest random change of an image; each is drawn uniformly up to its bound both ways."""

    shift: float = Field(default=0.0, ge=0, description="Shift along each axis in pixels.")
    rotate: float = Field(default=0.0, ge=0, le=3.1416, description="Turn in radians.")
    scale: float = Field(default=0.0, ge=0, le=0.9, description="Relative change of size.")
    intensity: float = Field(default=0.0, ge=0, le=1, description="Relative change of brightness.")
    noise: float = Field(
        default=0.0, ge=0, le=1, description="Standard deviation of noise added to each pixel."
    )


class PatchCodesSettings(PictureSettings):
    """Settings of `image.patch_codes`."""

    patch: int = Field(default=2, ge=1, description="Side of a patch; divides height and width.")
    codebook_size: int = Field(default=64, ge=2, le=65_536, description="Codes of a patch.")
    augment: WarpSettings | None = Field(
        default=None, description="Random changes before tokenising, in training only."
    )

    @model_validator(mode="after")
    def _patches_fill_the_image(self) -> PatchCodesSettings:
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(
                f"patch must divide height and width, but {self.patch} does not divide "
                f"{self.height} x {self.width}"
            )
        return self

    def bounds(self) -> Bounds:
        """One token for each patch."""
        tokens = (self.height // self.patch) * (self.width // self.patch)
        return Bounds(vocab_size=self.codebook_size, min_tokens=tokens, max_tokens=tokens)
