"""Settings of the built-in evaluators. Torch-free, so that a recipe is checked without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from loretta_framework.api.settings import Settings

Positive = Annotated[int, Field(gt=0)]
EdgeChoice = Literal["unobserved", "all"]
"""Where a run observed every pair, "unobserved" means all: an oracle is there to be compared with."""


class LikelihoodSettings(Settings):
    """How likelihood is measured."""

    limit: Positive | None = Field(
        default=None, description="Judge only this many test samples; null: all."
    )
    resamples: Positive = Field(default=1000, description="Bootstrap resamples of an interval.")


class RetrievalSettings(Settings):
    """How retrieval by likelihood is measured; its cost grows with the square of `candidates`."""

    candidates: Annotated[int, Field(ge=2)] = Field(
        default=100, description="Test samples ranked against each other, balanced over classes."
    )
    edges: EdgeChoice = Field(default="unobserved", description="Which directed edges to judge.")
    resamples: Positive = Field(default=1000, description="Bootstrap resamples of an interval.")


class ClassConsistencySettings(Settings):
    """How the class of generations is judged."""

    generations: Positive = Field(
        default=1000, description="Generations of each directed edge, at least."
    )
    temperature: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="1 samples the model's distribution, 0 takes the most likely id."
    )
    edges: EdgeChoice = Field(default="all", description="Which directed edges to judge.")
    chained_generations: Annotated[int, Field(ge=0)] = Field(
        default=250,
        description="Generations over the bridge, hop by hop, as a baseline of an unseen edge; "
        "at least so many, 0: none.",
    )
    judge_members: Annotated[int, Field(ge=1, le=3)] = Field(
        default=1, description="Networks whose votes are averaged in each judge."
    )
    judge_samples: Positive = Field(
        default=6000, description="Real training samples a judge learns from, at most."
    )
    resamples: Positive = Field(default=1000, description="Bootstrap resamples of an interval.")


class GallerySettings(Settings):
    """What is generated to be looked at."""

    edges: EdgeChoice = Field(default="unobserved", description="Which directed edges to show.")
    sources: Positive = Field(
        default=10, description="Test samples to start from, balanced over classes."
    )
    samples: Positive = Field(default=4, description="Generations of each source.")
    temperature: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="1 samples the model's distribution, 0 takes the most likely id."
    )
