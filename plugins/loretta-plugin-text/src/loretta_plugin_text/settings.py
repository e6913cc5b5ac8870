"""Settings of the text modalities. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from loretta_framework.api.settings import ModalitySettings
from loretta_framework.api.specs import Bounds

BYTE_PIECES = 256


class SentencePieceSettings(ModalitySettings):
    """Settings of `text.sentencepiece`."""

    max_bytes: int = Field(
        default=1 << 20, ge=1, le=1 << 40, description="Largest file that is read."
    )
    vocab_size: int = Field(
        default=64,
        ge=4,
        le=1_000_000,
        description="Ids reserved; a corpus that yields fewer pieces leaves the rest unused.",
    )
    max_tokens: int = Field(default=32, ge=1, description="Longest text in pieces.")
    model_type: Literal["unigram", "bpe"] = Field(
        default="unigram", description="How pieces are chosen."
    )
    character_coverage: float = Field(
        default=1.0, gt=0.9, le=1.0, description="Part of the corpus' characters that get a piece."
    )
    byte_fallback: bool = Field(
        default=False,
        description="Spell characters without a piece as bytes (256 ids); otherwise they are an error.",
    )

    @model_validator(mode="after")
    def _room_for_bytes(self) -> SentencePieceSettings:
        if self.byte_fallback and self.vocab_size <= BYTE_PIECES + 1:
            raise ValueError(
                f"vocab_size must exceed {BYTE_PIECES + 1} with byte_fallback, whose bytes take "
                f"{BYTE_PIECES} ids, but is {self.vocab_size}"
            )
        return self

    def bounds(self) -> Bounds:
        """`vocab_size` ids, at least one piece."""
        return Bounds(vocab_size=self.vocab_size, min_tokens=1, max_tokens=self.max_tokens)
