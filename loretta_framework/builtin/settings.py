"""Settings of the core's modalities. Without numpy, so that a recipe is checked in an instant."""

from __future__ import annotations

from pydantic import Field, model_validator

from loretta_framework.api.settings import ModalitySettings
from loretta_framework.api.specs import Bounds


class TextBytesSettings(ModalitySettings):
    """Settings of `text_bytes`."""

    max_bytes: int = Field(
        default=1 << 20, ge=1, le=1 << 40, description="Largest file that is read."
    )
    min_tokens: int = Field(default=1, ge=1, description="Shortest text in UTF-8 bytes.")
    max_tokens: int = Field(default=256, ge=1, description="Longest text in UTF-8 bytes.")

    @model_validator(mode="after")
    def _ordered(self) -> TextBytesSettings:
        if self.min_tokens > self.max_tokens:
            raise ValueError(
                f"min_tokens must be at most max_tokens, but {self.min_tokens} > {self.max_tokens}"
            )
        return self

    def bounds(self) -> Bounds:
        """256 ids; with min_tokens = max_tokens the length is fixed."""
        return Bounds(vocab_size=256, min_tokens=self.min_tokens, max_tokens=self.max_tokens)
