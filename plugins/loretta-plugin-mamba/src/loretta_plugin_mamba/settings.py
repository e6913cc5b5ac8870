"""Settings of `mamba.mamba1` and `mamba.mamba2`. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from loretta_framework.api import ComponentNode, Settings, Trial

Positive = Annotated[int, Field(gt=0)]


def _transformer() -> ComponentNode:
    return ComponentNode(kind="transformer", settings={"heads": 4})


class MambaSettings(Settings):
    """What both kinds have in common."""

    width: Positive = Field(default=256, description="Width of the hidden states.")
    depth: Positive = Field(
        default=12, description="Number of blocks; one has half the weights of a Transformer's."
    )
    expand: Positive = Field(default=2, description="Width inside a block, in widths.")
    conv: Positive = Field(default=4, description="Tokens that the short convolution sees.")
    chunk: Positive | Literal["auto"] = Field(
        default="auto",
        description="Tokens that are computed as one piece; changes speed and rounding only. "
        "auto: by a fixed rule from widths and lengths.",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout after each Mamba block's mixer in training."
    )
    kernel: Literal["auto", "reference", "mamba_ssm"] = Field(
        default="auto",
        description="reference: plain torch. mamba_ssm: training takes its CUDA kernels or fails. "
        "auto: those, where they are.",
    )
    attention_every: Annotated[int, Field(ge=2)] | None = Field(
        default=None,
        description="Every how many blocks one is attention; its cache then grows. null: none is.",
    )
    attention: ComponentNode = Field(
        default_factory=_transformer,
        description="Backbone that the attention blocks are, one layer each; it is given the width.",
    )

    @field_validator("attention")
    @classmethod
    def _one_layer(cls, node: ComponentNode, info: ValidationInfo) -> ComponentNode:
        """Complete the node, so that a recipe's check sees the layer that will be built."""
        every, width = info.data.get("attention_every"), info.data.get("width")
        if every is None or width is None:
            return node
        given: dict[str, Any] = {"width": width, "depth": 1, "final_norm": False}
        for key, value in given.items():
            if node.settings.get(key, value) != value:
                raise ValueError(f"{key} must be {value} here, but is {node.settings[key]}")
        return ComponentNode(kind=node.kind, settings={**node.settings, **given})

    @property
    def inner(self) -> int:
        """Width inside a block."""
        return self.expand * self.width

    @property
    def attention_layers(self) -> range:
        """Numbers, from 0, of the blocks that are attention: the last of every `attention_every`."""
        every = self.attention_every
        return range(every - 1, self.depth, every) if every else range(0)


class Mamba1Settings(MambaSettings):
    """Size and form of Mamba-1."""

    state: Positive = Field(default=16, description="Numbers remembered for each inner channel.")
    dt_rank: Positive | None = Field(
        default=None,
        description="Numbers that a token's step sizes are made from. null: a 16th of the width.",
    )

    @property
    def rank(self) -> int:
        """Numbers that a token's step sizes are made from."""
        return self.dt_rank or -(-self.width // 16)


class Mamba2Settings(MambaSettings):
    """Size and form of Mamba-2."""

    head_dim: Positive = Field(
        default=64, description="Width of a head; must divide expand x width."
    )
    state: Positive = Field(default=64, description="Numbers remembered for each inner channel.")

    @model_validator(mode="after")
    def _heads_divide(self) -> Mamba2Settings:
        if self.inner % self.head_dim:
            raise ValueError(
                f"head_dim must divide expand x width, but {self.head_dim} does not {self.inner}"
            )
        return self

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.inner // self.head_dim


TRIAL = Trial(
    settings={"width": 16, "depth": 2, "head_dim": 8, "state": 8, "chunk": 8, "conv": 3},
)
"""With what the conformance kit tries Mamba-2: documents are longer and shorter than a chunk."""

TRIAL_1 = Trial(settings={"width": 16, "depth": 2, "state": 4, "chunk": 8, "conv": 3})
"""Likewise Mamba-1."""

_HYBRID = {
    "depth": 4,
    "attention_every": 2,
    "attention": {"kind": "transformer", "settings": {"heads": 2}},
}

HYBRID_TRIAL = Trial(settings={**TRIAL.settings, **_HYBRID})
"""Mamba-2 with attention at every second layer."""

HYBRID_TRIAL_1 = Trial(settings={**TRIAL_1.settings, **_HYBRID})
"""Mamba-1 with attention at every second layer."""
