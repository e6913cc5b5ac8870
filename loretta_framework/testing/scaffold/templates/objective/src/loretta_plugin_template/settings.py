"""Settings of `template.one_direction`. This module must not import torch."""

from __future__ import annotations

from typing import Annotated

from loretta_framework.api import ObjectiveSettings, Trial
from pydantic import Field, model_validator

Weight = Annotated[float, Field(ge=0.0)]


class OneDirectionSettings(ObjectiveSettings):
    """What is given, and how much each of the others counts."""

    given: list[str] = Field(
        default=[], description="Modalities that come first and are never predicted."
    )
    weights: dict[str, Weight] = Field(
        default={}, description="Loss weights of other modalities; 1 for those not named."
    )

    @model_validator(mode="after")
    def _given_have_no_weight(self) -> OneDirectionSettings:
        both = sorted(set(self.given) & set(self.weights))
        if both:
            raise ValueError(f"weights must not name what is given, but names {', '.join(both)}")
        return self


TRIAL = Trial(settings={"given": ["image"], "weights": {"text": 0.5}})
"""With what the conformance kit tries it: its samples hold "image", "text" and "speech"."""
