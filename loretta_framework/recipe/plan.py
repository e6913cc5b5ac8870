"""The Plan: everything a run will do, frozen before a GPU or torch is touched.

`recipe.engine` derives it from a recipe and the shard index; `recipe check` prints it, the trainer
executes it, checkpoints store it and ranks compare its hash.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from loretta_framework.graph import Bridge, ModalityGraph, Pair
from loretta_framework.recipe.stored import parsed, require_known_names, vocabulary_of
from loretta_framework.sequence.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class ComponentPlan:
    """A component to be built.

    Attributes:
        kind: name in the registry.
        version: the component's integer version.
        distribution: who brings it, as "name version".
        settings: validated settings, defaults filled in, plain data.
    """

    kind: str
    version: int
    distribution: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModalityPlan:
    """A modality; its ids are `Plan.vocabulary[name]`."""

    name: str
    component: ComponentPlan
    fitted: bool


@dataclass(frozen=True, slots=True)
class SetPlan:
    """A data set as found on disk.

    Attributes:
        name: recipe name.
        split: "train", "validation" or "test".
        shards: absolute paths or URLs in order; for a `RowSource` the patterns as written.
        modalities: declared names, in declared order.
        share: part of the drawn samples within its split, normalised.
        missing: "keep", "skip" or "error".
        label: "meta.digit" and the like, or None.
        samples: number of samples with at least one declared modality.
        combinations: samples per modality combination, largest first; names in declared order.
        source: the component that maps members, None for the default.
        digest: of the shards' contents, independent of where they lie.
        max_epochs: passes that a task makes over it at most, None: no limit.
    """

    name: str
    split: str
    shards: tuple[str, ...]
    modalities: tuple[str, ...]
    share: float
    missing: str
    label: str | None
    samples: int
    combinations: tuple[tuple[tuple[str, ...], int], ...]
    source: ComponentPlan | None
    digest: str = ""
    max_epochs: int | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """An objective's part of the run.

    Attributes:
        name: name in metrics, unique.
        component: the objective.
        share: part of a step's tokens, normalised over tasks.
        weight: factor on its loss.
        start_step: first step it works on; before it `fallback` gets its samples.
        every: it takes the samples of this many steps at once.
        samples_per_step: samples it is handed for each step it works on.
        extra_samples: samples more per step before another task's start that falls back to it,
            as (until_step, samples) pairs.
        sequence_tokens: upper bound of the expected tokens of one of its sequences.
        overlap: its rows are made one step before they are needed.
    """

    name: str
    component: ComponentPlan
    share: float
    weight: float
    start_step: int
    every: int
    samples_per_step: int
    extra_samples: tuple[tuple[int, int], ...]
    sequence_tokens: float
    overlap: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """An automatic choice: which key, what was chosen, why."""

    key: str
    choice: str
    why: str


@dataclass(frozen=True, slots=True)
class PluginPlan:
    """Who brings components of the plan: what a resumed or loaded run is compared with.

    Attributes:
        name: entry-point name.
        distribution: the package.
        version: version of that package.
        api: API versions that all of its components accept, oldest and newest.
        components: kind -> component version, of those that the recipe names.
        record: sha256 of the list of files that its installer wrote, "" when there is none.
    """

    name: str
    distribution: str
    version: str
    api: tuple[int, int]
    components: dict[str, int]
    record: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module's docstring. `reasons`, `versions` and `plugins` do not enter the hash.

    Attributes:
        name: recipe name.
        seed: key of every draw.
        steps: optimiser steps.
        batch_tokens: tokens a step is sized for.
        shuffle_rows: rows of a set that are shuffled together.
        modalities: in recipe order.
        vocabulary: id blocks.
        graph: nodes and observed pairs with counts.
        components: connected components.
        bridges: missing pairs with their shortest paths.
        sets: data sets of all splits.
        tasks: objectives.
        backbone: the sequence model.
        recipe_hash: of the resolved recipe.
        data_hash: of the shard index's contents, all splits.
        reasons: automatic choices.
        versions: package name -> version.
        plugins: who brings the components; empty in plans of before it was recorded.
    """

    name: str
    seed: int
    steps: int
    batch_tokens: int
    shuffle_rows: int
    modalities: tuple[ModalityPlan, ...]
    vocabulary: Vocabulary
    graph: ModalityGraph
    components: tuple[tuple[str, ...], ...]
    bridges: tuple[Bridge, ...]
    sets: tuple[SetPlan, ...]
    tasks: tuple[TaskPlan, ...]
    backbone: ComponentPlan
    recipe_hash: str
    data_hash: str
    reasons: tuple[Reason, ...]
    versions: dict[str, str]
    plugins: tuple[PluginPlan, ...] = ()

    @property
    def hash(self) -> str:
        """sha256 of all that decides what is computed, in hexadecimal."""
        data = self.to_json()
        for key in ("reasons", "versions", "plugins"):
            del data[key]
        return sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    @property
    def missing_pairs(self) -> tuple[Pair, ...]:
        """Pairs that never occur together but are bridged."""
        return tuple(bridge.pair for bridge in self.bridges)

    def split(self, name: str) -> tuple[SetPlan, ...]:
        """The sets of one split."""
        return tuple(item for item in self.sets if item.split == name)

    def max_row_tokens(self) -> int:
        """Longest sequence a task may build: every modality once."""
        return sum(block.segment_length for block in self.vocabulary.blocks)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back to an equal Plan."""
        data = asdict(self) | {"vocabulary": self.vocabulary.to_json()}
        plain: dict[str, Any] = json.loads(json.dumps(data))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """Read `to_json`'s data.

        Raises:
            ValueError: the data is not a Plan's; the text names the key and what it must be.
            RecipeError: the blocks of its vocabulary contradict each other.
        """
        if not isinstance(data, dict) or "vocabulary" not in data:
            raise ValueError("it must be a mapping with the key 'vocabulary'")
        plan: Plan = parsed(cls, {**data, "vocabulary": vocabulary_of(data["vocabulary"])})
        require_known_names(plan)
        return plan
