"""For each check of objectives a component that fails it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twins_backbones import OneComponent

from loretta_framework.api import ObjectiveSpec
from loretta_framework.testing.conformance.subject import Subject


def objective(fault: str, settings: str = "PlainSettings") -> Subject:
    """A faulty objective; `fault` is a class of `broken_objectives`."""
    spec = ObjectiveSpec(
        name="twin.causal",
        version=1,
        summary="Broken in one way.",
        settings=f"broken_objectives:{settings}",
        factory=f"broken_objectives:{fault}",
    )
    return Subject(spec, "objective", OneComponent("objective", spec))  # type: ignore[arg-type]


TWINS: dict[str, Callable[[], Subject]] = {
    "objective.rows_are_valid": partial(objective, "PredictsClassIds"),
    "objective.draws_depend_on_keys_alone": partial(objective, "DrawsByItself"),
    "objective.rows_depend_on_their_sample_alone": partial(objective, "LooksAtItsNeighbours"),
    "objective.leaves_samples_alone": partial(objective, "WritesIntoSamples"),
    "objective.learns_something": partial(objective, "LearnsNothing"),
    "objective.rollouts_are_declared": partial(objective, "GeneratesInSecret"),
    "objective.schedule_is_sound": partial(objective, "Sound", "NeverStarts"),
    "objective.state_comes_back": partial(objective, "ForgetsItsState"),
    "objective.sums_add_to_the_total": partial(objective, "AddsALittle"),
    "objective.zero_weight_gives_no_gradient": partial(objective, "ForgetsWeights"),
    "objective.empty_edges_are_zero": partial(objective, "DividesByItsCount"),
    "objective.halves_add_to_the_whole": partial(objective, "Averages"),
}
"""Check id -> a component on which it fails."""
