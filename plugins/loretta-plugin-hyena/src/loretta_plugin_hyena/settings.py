"""Settings of `hyena.hyena`. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from loretta_framework.api import ComponentNode, Settings, Trial

Positive = Annotated[int, Field(gt=0)]


class HyenaSettings(Settings):
    """Size and form of Hyena."""

    width: Positive = Field(default=256, description="Width of the hidden states.")
    depth: Positive = Field(
        default=6, description="Number of blocks; one has about the weights of a Transformer's."
    )
    order: Positive = Field(
        default=2, description="Long convolutions in a block, each followed by a gate."
    )
    hidden: Positive | None = Field(
        default=None, description="Width inside the gated MLP. null: 8/3 of the width, in 32s."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout after the operator and the MLP in training."
    )
    conv: Positive = Field(default=3, description="Tokens that the short convolution sees.")
    filter_width: Positive = Field(
        default=64, description="Width of the small network that makes a block's filters."
    )
    filter_bands: Positive = Field(
        default=16, description="Frequencies of the distance that this network is given."
    )
    filter_tokens: Annotated[int, Field(ge=8)] = Field(
        default=2048,
        description="Time scale of the filters: the slowest channels have faded to 1 % here. "
        "It limits no length.",
    )
    kernel: Literal["auto", "reference", "flash_fft_conv"] = Field(
        default="auto",
        description="reference: plain torch. flash_fft_conv: training takes its CUDA kernels or "
        "fails. auto: those, where they are and agree with plain torch.",
    )
    attention_every: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="Every layer of this number is attention. null: none is."
    )
    attention: ComponentNode = Field(
        default=ComponentNode(kind="transformer", settings={"heads": 4}),
        description="Backbone that such a layer is: built with depth 1 and this width.",
    )

    @model_validator(mode="after")
    def _attention_fits(self) -> HyenaSettings:
        if self.attention_every is not None and self.attention_every > self.depth:
            raise ValueError(
                f"attention_every must be at most depth, but {self.attention_every} is more than "
                f"{self.depth}"
            )
        return self

    @property
    def hidden_width(self) -> int:
        """Width inside the MLP."""
        return self.hidden or -(-self.width * 8 // (3 * 32)) * 32

    def is_attention(self, layer: int) -> bool:
        """Whether the layer, counted from 0, is attention."""
        return self.attention_every is not None and (layer + 1) % self.attention_every == 0


TRIAL = Trial(
    settings={"width": 16, "depth": 2, "filter_width": 16, "filter_bands": 4, "filter_tokens": 32}
)
"""With what the conformance kit tries it: documents are shorter and longer than the time scale."""
