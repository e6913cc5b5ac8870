"""Settings of `mamba.mamba2`. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from loretta_framework.api import Settings, Trial

Positive = Annotated[int, Field(gt=0)]


class Mamba2Settings(Settings):
    """Size and form of Mamba-2."""

    width: Positive = Field(default=256, description="Width of the hidden states.")
    depth: Positive = Field(
        default=12, description="Number of blocks; one has half the weights of a Transformer's."
    )
    expand: Positive = Field(default=2, description="Width inside a block, in widths.")
    head_dim: Positive = Field(
        default=64, description="Width of a head; must divide expand x width."
    )
    state: Positive = Field(default=64, description="Numbers remembered for each inner channel.")
    conv: Positive = Field(default=4, description="Tokens that the short convolution sees.")
    chunk: Positive = Field(
        default=64,
        description="Tokens that are computed as one product; changes speed and rounding only.",
    )
    kernel: Literal["auto", "reference", "mamba_ssm"] = Field(
        default="auto",
        description="reference: plain torch. mamba_ssm: training takes its CUDA kernels or fails. "
        "auto: those, where they are.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Mamba2Settings:
        if self.inner % self.head_dim:
            raise ValueError(
                f"head_dim must divide expand x width, but {self.head_dim} does not {self.inner}"
            )
        return self

    @property
    def inner(self) -> int:
        """Width inside a block."""
        return self.expand * self.width

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.inner // self.head_dim


TRIAL = Trial(
    settings={"width": 16, "depth": 2, "head_dim": 8, "state": 8, "chunk": 8, "conv": 3},
)
"""With what the conformance kit tries it: documents are longer and shorter than a chunk."""
