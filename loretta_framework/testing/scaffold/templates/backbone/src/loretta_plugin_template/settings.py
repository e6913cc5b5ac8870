"""Settings of `template.memory`. This module must not import torch."""

from __future__ import annotations

from loretta_framework.api import Settings, Trial
from pydantic import Field


class MemorySettings(Settings):
    """Size of the backbone."""

    width: int = Field(default=256, ge=1, description="Width of the hidden states.")
    depth: int = Field(default=6, ge=1, description="Number of blocks.")


TRIAL = Trial(settings={"width": 16, "depth": 2})
"""With what the conformance kit tries it."""
