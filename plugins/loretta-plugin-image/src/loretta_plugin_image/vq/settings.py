"""Settings of `image.vq`. Torch-free and numpy-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from loretta_framework.api import Bounds
from loretta_plugin_image.settings import PictureSettings, WarpSettings


class VqSettings(PictureSettings):
    """Settings of `image.vq`."""

    patch: int = Field(
        default=4, ge=1, le=64, description="Pixels a side of a token; divides height and width."
    )
    codebook_size: int = Field(default=512, ge=2, le=65_536, description="Codes of a token.")
    hidden: int = Field(
        default=32, ge=8, le=1024, multiple_of=8, description="Channels of the codec's layers."
    )
    blocks: int = Field(
        default=2, ge=1, le=16, description="Residual blocks of the encoder, and of the decoder."
    )
    steps: int = Field(default=1000, ge=1, le=1_000_000, description="Steps of the fit.")
    batch: int = Field(default=64, ge=1, le=4096, description="Images of a step.")
    learning_rate: float = Field(default=0.006, gt=0, le=1, description="At its highest.")
    threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Threads of the fit, whatever the machine: with another number of them the sums "
        "are rounded otherwise, and the codec is another one.",
    )
    augment: WarpSettings | None = Field(
        default=None, description="Random changes before tokenising, in training only."
    )

    @model_validator(mode="after")
    def _patches_fill_the_image(self) -> VqSettings:
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(
                f"patch must divide height and width, but {self.patch} does not divide "
                f"{self.height} x {self.width}"
            )
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.height // self.patch, self.width // self.patch

    def bounds(self) -> Bounds:
        """One token for each patch."""
        tokens = self.grid[0] * self.grid[1]
        return Bounds(vocab_size=self.codebook_size, min_tokens=tokens, max_tokens=tokens)
