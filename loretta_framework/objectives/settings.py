"""Settings of the built-in objectives. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from loretta_framework.api.settings import ObjectiveSettings, TaskSchedule

Weight = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class CausalSettings(ObjectiveSettings):
    """Next token over the segments of a sample."""

    order: Literal["any", "declared"] = Field(
        default="any",
        description="any: every order of what a sample has, drawn per sample (commutative). "
        "declared: the data set's order only.",
    )
    first_segment_weight: Weight = Field(
        default=1.0, description="Loss weight of the first segment, which nothing conditions."
    )


class CausalMaskedSettings(CausalSettings):
    """Causal masked modelling (CM3): spans move to the end, behind their sentinels."""

    spans: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Mean of the Poisson number of spans; 0 spans is plain causal."
    )


class TransitiveSettings(ObjectiveSettings):
    """Pseudo segments from a bridge condition the reconstruction of real ones."""

    start: Fraction = Field(
        default=0.5, description="Part of the run before which its share is causal."
    )
    every: Annotated[int, Field(ge=1)] = Field(
        default=8,
        description="Steps whose pseudo segments are generated together; fewer with `max_stale`.",
    )
    reuse_k: Annotated[int, Field(ge=1)] = Field(
        default=1, description="How often each pseudo segment is used within `every` steps."
    )
    max_stale: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Most steps between making a pseudo segment and training on it; null: what "
        "`every` and `overlap` give.",
    )
    overlap: bool = Field(
        default=False,
        description="Make pseudo segments one step early, beside that step's work on a GPU.",
    )
    temperature: Weight | dict[str, Weight] = Field(
        default=1.0,
        description="Sampling temperature, 0 is greedy; or one by modality, 1 for the others.",
    )
    top_k: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Sample among the k most likely ids only."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Sample among the fewest most likely ids that have this probability together.",
    )
    min_p: Fraction | None = Field(
        default=None, description="Sample among ids this many times as likely as the likeliest."
    )
    order: Literal["pseudo_first", "any"] = Field(
        default="pseudo_first",
        description="pseudo_first: the real segment is always the one to predict. any: both orders.",
    )
    all_modalities_probability: Fraction = Field(
        default=0.0, description="Probability to keep the real link segments, in any order."
    )
    pseudo_weight: Weight = Field(
        default=0.0,
        description="Loss weight of generated tokens; above 0 the model learns from itself.",
    )
    first_segment_weight: Weight = Field(
        default=1.0, description="Loss weight of a real segment that nothing conditions."
    )
    single_modality: bool = Field(
        default=True, description="Use samples of one modality: out along the graph and back."
    )
    link_only: bool = Field(
        default=False, description="Use samples whose every target would itself be generated."
    )
    max_hops: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Longest bridge in generations; null: any."
    )
    generator: Literal["live", "average"] = Field(
        default="live", description="Weights that generate: the live ones or their moving average."
    )
    average_decay: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.99, description="Decay per step of the moving average."
    )
    hold_until_gain: Fraction | None = Field(
        default=None,
        description="Hold a link until it saves this part of its target's unconditional nats.",
    )

    @model_validator(mode="before")
    @classmethod
    def _former_name(cls, data: Any) -> Any:
        """Recipes and runs of before there was `max_stale` say `reuse` for `reuse_k`."""
        if not isinstance(data, Mapping) or "reuse" not in data:
            return data
        if "reuse_k" in data:
            raise ValueError(
                "reuse is the former name of reuse_k and must not stand beside it, but both are given"
            )
        return {"reuse_k" if key == "reuse" else key: value for key, value in data.items()}

    @model_validator(mode="after")
    def _staleness_can_hold(self) -> TransitiveSettings:
        if self.overlap and self.max_stale == 0:
            raise ValueError(
                "max_stale must be at least 1 with overlap, but is 0: segments made a step early "
                "are a step old when they are used"
            )
        return self

    @model_validator(mode="after")
    def _something_is_learned(self) -> TransitiveSettings:
        if self.link_only and self.pseudo_weight == 0:
            raise ValueError(
                "link_only must come with a pseudo_weight above 0, but it is 0: rows made from a "
                "lone link hold generated segments only"
            )
        return self

    def schedule(self) -> TaskSchedule:
        """Starts late and takes the samples of as many steps at once as `max_stale` allows.

        What is made for k steps is k - 1 steps old at the last of them, one more with `overlap`.
        """
        every = self.every
        if self.max_stale is not None:
            every = min(every, self.max_stale + 1 - self.overlap)
        return TaskSchedule(self.start, every, self.overlap)

    def modalities_named(self) -> Mapping[str, Sequence[str]]:
        """Temperatures may be given by modality."""
        degrees = self.temperature
        return {"temperature": list(degrees)} if isinstance(degrees, dict) else {}
