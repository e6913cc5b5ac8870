"""Base classes for a component's settings: strict, frozen, torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from loretta_framework.api.specs import Bounds

DEFAULT_MAX_BYTES = 64 << 20
"""Bytes of a file that a modality decodes unless its settings say otherwise."""


class Settings(BaseModel):
    """Strict and frozen: unknown keys refused, no silent conversion, defaults validated."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


class ComponentNode(Settings):
    """A component inside another's settings: annotate the field with it, or with a subclass.

    The recipe is then checked for it, and runs remember who brings it. A factory builds it with
    `context.build(node.kind, node.settings)`. In a recipe it must be written out: only what a recipe
    names is loaded.
    """

    kind: str = Field(min_length=1, description="Name of the component, as in recipes.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Its settings.")


class ModalitySettings(Settings):
    """Settings of a modality. `bounds()` makes the vocabulary known before anything is built."""

    max_bytes: int = Field(
        default=DEFAULT_MAX_BYTES,
        ge=1,
        le=1 << 40,
        description="Largest file that is read, told from the shard's index.",
    )

    def bounds(self) -> Bounds:
        """The id count and segment length; fitting never changes them."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TaskSchedule:
    """When an objective works, told by its settings so that the Plan needs no torch.

    Attributes:
        start: fraction of the run's steps before it begins; until then its share goes to the
            recipe's first `causal` objective.
        every: it asks for the samples of this many steps at once (rollouts are batched).
        overlap: its rows are made one step before they are needed, beside that step's work and
            with the weights before its update; those of the run's first step are made in it.
    """

    start: float = 0.0
    every: int = 1
    overlap: bool = False


class ObjectiveSettings(Settings):
    """Settings of an objective."""

    def schedule(self) -> TaskSchedule:
        """When it starts and how many steps of samples it takes at once."""
        return TaskSchedule()

    def modalities_named(self) -> Mapping[str, Sequence[str]]:
        """Setting -> modalities that it names: a recipe must declare them. By default none."""
        return {}
