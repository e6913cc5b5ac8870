"""What an evaluator is handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.random import generator
from loretta_framework.data.values import ValueSample
from loretta_framework.graph import Edge
from loretta_framework.inference import LoadedModel
from loretta_framework.recipe.plan import Plan

Findings = dict[str, Any]
"""What an evaluator returns.

"edges": {"speech->image": {metric: figure}}, where a figure is {"value", "interval": [low, high]},
or None beside "<metric>_reason". Any other key is a section of the evaluation file of its own.
"""


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """A loaded model, test samples, and where to write.

    Attributes:
        model: the run's model; `model.model` is the torch module.
        plan: the run's plan; `plan.graph.has(a, b)` tells whether a pair was observed.
        samples: test samples with values and tokens.
        directory: the run directory.
        seed: key of every draw; the same for all arms of a study, whatever they were trained with.
        note: note(key, choice, reason) records an automatic choice.
        training: (modality, limit) -> at most so many real training samples that have it, spread
            evenly, with labels where there are any; never a test sample. Raises `ShardError` when
            the sets cannot be read.
    """

    model: LoadedModel
    plan: Plan
    samples: tuple[ValueSample, ...]
    directory: Path
    seed: int
    note: Callable[[str, str, str], None]
    training: Callable[[str, int], list[ValueSample]]

    def draw(self, purpose: str, *parts: str | int) -> Any:
        """A numpy generator for this purpose."""
        return generator(self.seed, f"evaluate/{purpose}", *parts)


def edge_name(source: str, target: str) -> str:
    """ "speech->image"; "->image" without a source."""
    return str(Edge(frozenset(filter(None, [source])), target))


def value_of(sample: ValueSample, modality: str) -> Any:
    """The first value of that modality. Raises `KeyError` when the sample lacks it."""
    for name, value in sample.parts:
        if name == modality:
            return value
    raise KeyError(modality)
