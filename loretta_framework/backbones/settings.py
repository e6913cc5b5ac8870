"""Settings of the built-in Transformer. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from loretta_framework.api.settings import Settings
from loretta_framework.api.trials import Trial

Positive = Annotated[int, Field(gt=0)]


class TransformerSettings(Settings):
    """Size and form of the Transformer."""

    width: Positive = Field(default=256, description="Width of the hidden states.")
    depth: Positive = Field(default=6, description="Number of blocks.")
    heads: Positive = Field(default=4, description="Query heads; must divide the width.")
    kv_heads: Positive | None = Field(
        default=None, description="Key and value heads; must divide heads. null: as many as heads."
    )
    hidden: Positive | None = Field(
        default=None, description="Width inside the gated MLP. null: 8/3 of the width, in 32s."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout after attention and MLP in training."
    )
    qk_norm: bool = Field(default=False, description="Normalise queries and keys per head.")
    rope_base: Annotated[float, Field(gt=1)] = Field(
        default=10000.0, description="Base of the rotary frequencies."
    )
    attention: Literal["auto", "sdpa", "matmul", "lines", "flex", "varlen", "flash"] = Field(
        default="auto",
        description="sdpa is torch's fused attention; matmul plain products; lines (each "
        "document of a packed row by itself, on a CPU, otherwise as sdpa); flex (torch's block masks), "
        "varlen (torch's packed documents) and flash (flash-attn) train on a CUDA device and "
        "compute as sdpa otherwise; auto chooses by device, precision and length.",
    )
    window: Positive | None = Field(
        default=None,
        description="Tokens of its document that a token sees, itself among them. null: all.",
    )
    final_norm: bool = Field(
        default=True,
        description="Normalise behind the last block; a part of another stack may not.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSettings:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width must be an even multiple of heads, but {self.width} is not one of {self.heads}"
            )
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(
                f"kv_heads must divide heads, but {self.kv_heads} does not {self.heads}"
            )
        return self

    @property
    def hidden_width(self) -> int:
        """Width inside the MLP."""
        return self.hidden or -(-self.width * 8 // (3 * 32)) * 32


TRIAL = Trial(settings={"width": 32, "depth": 2, "heads": 4, "kv_heads": 2})
"""With what the conformance kit tries the Transformer."""
