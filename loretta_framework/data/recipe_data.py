"""The data sets of a recipe as they are declared, without a Plan: their shards may be damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.api.protocols import Modality, RowSource, Source
from loretta_framework.api.settings import DEFAULT_MAX_BYTES
from loretta_framework.api.specs import ModalitySpec
from loretta_framework.recipe.engine import check_components
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.recipe.schema import DataSet
from loretta_framework.registry import Builder
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.index import expand_shards
from loretta_framework.shards.linting.repeats import series_of
from loretta_framework.shards.members import modality_of
from loretta_framework.shards.remote.locations import is_url


@dataclass(frozen=True, slots=True)
class RecipeParts:
    """What a recipe builds for its data.

    Attributes:
        modalities: by name; those that learn are not fitted.
        vocabulary: bounds of their tokens.
        unfitted: names of those that can encode only once they are fitted.
        max_bytes: largest file of each.
        sources: built, by (split, number of the set).
    """

    modalities: dict[str, Modality]
    vocabulary: Vocabulary
    unfitted: frozenset[str]
    max_bytes: dict[str, int]
    sources: dict[tuple[str, int], Source]


@dataclass(frozen=True, slots=True)
class RecipeSet:
    """A data set as declared.

    Attributes:
        plan: shares and counts are not filled in.
        source: maps its members, or opens it.
        fault: why its shards cannot be named, else None.
        declared: False for shards that were named one by one: not all modalities need be there.
    """

    plan: SetPlan
    source: Source | None = None
    fault: ShardError | None = None
    declared: bool = True

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.plan.split}/{self.plan.name}"

    @property
    def mapping(self) -> Callable[[str], str | None]:
        """Local member name -> modality."""
        return modality_of if self.source is None else self.source.modality_of


def build_parts(loaded: LoadedRecipe) -> RecipeParts:
    """Build the modalities and sources of a recipe.

    Raises:
        RecipeError, PluginError: the recipe is at fault.
    """
    components, registry = check_components(loaded)
    builder = Builder(registry)
    modalities, bounds, unfitted, max_bytes = {}, {}, set(), {}
    for name in loaded.recipe.modalities:
        component = components["modalities", name]
        node, spec = component.node, component.spec
        modalities[name] = builder.build_spec("modality", node.kind, node.settings)
        bounds[name] = component.settings.bounds()
        max_bytes[name] = int(component.plan.settings.get("max_bytes", DEFAULT_MAX_BYTES))
        if isinstance(spec, ModalitySpec) and spec.capabilities.fitted:
            unfitted.add(name)
    sources: dict[tuple[str, int], Any] = {}
    for split in SPLITS:
        for number in range(len(getattr(loaded.recipe.data, split))):
            found = components.get(("data", split, number, "source"))
            if found is not None:
                node = found.node
                sources[split, number] = builder.build_spec("source", node.kind, node.settings)
    vocabulary = Vocabulary.build(bounds)
    return RecipeParts(modalities, vocabulary, frozenset(unfitted), max_bytes, sources)


def recipe_sets(loaded: LoadedRecipe, parts: RecipeParts) -> list[RecipeSet]:
    """Every set of the recipe, in split order. Shards that are not there are the set's `fault`."""
    sets = []
    for split in SPLITS:
        for number, item in enumerate(getattr(loaded.recipe.data, split)):
            source = parts.sources.get((split, number))
            try:
                shards, fault = _shards(loaded, item, source), None
            except ShardError as error:
                where = ": ".join(
                    filter(None, [loaded.where(("data", split, number, "shards")), error.where])
                )
                shards, fault = (), ShardError(error.what, where=where, fix=error.fix)
            sets.append(RecipeSet(_plan(item, split, shards), source, fault))
    return sets


def sets_of_shards(
    shards: Sequence[str], loaded: LoadedRecipe, parts: RecipeParts
) -> list[RecipeSet]:
    """Any shards as sets: those that a set of the recipe names as that set, so that training and
    test shards of one folder stay apart; others with those whose names differ in their number only.

    Raises:
        RecipeError: the recipe is at fault.
    """
    places = {_resolved(shard): shard for shard in shards}
    left, sets = dict(places), []
    for item in recipe_sets(loaded, parts):
        named = [place for place in map(_resolved, item.plan.shards) if place in places]
        if named:
            plan = replace(item.plan, shards=tuple(places[place] for place in named))
            sets.append(replace(item, plan=plan, declared=False))
        for place in named:
            left.pop(place, None)
    groups: dict[str, list[str]] = {}
    for shard in left.values():
        groups.setdefault(series_of(shard), []).append(shard)
    for series, group in groups.items():
        of_all = DataSet(name="paths", shards=group, modalities=list(parts.modalities))
        name = re.split(r"[/\\]", series)[-1] or "shards"
        plan = replace(_plan(of_all, "paths", tuple(group)), name=name)
        sets.append(RecipeSet(plan, declared=False))
    return sets


def _resolved(shard: str) -> str:
    return shard if is_url(shard) else os.path.realpath(shard)


def _shards(loaded: LoadedRecipe, item: DataSet, source: Source | None) -> tuple[str, ...]:
    patterns = [item.shards] if isinstance(item.shards, str) else item.shards
    if isinstance(source, RowSource):
        # Absolute, since a child process may stand in another folder.
        base = loaded.directory
        return tuple(p if is_url(p) else os.path.abspath(base / p) for p in patterns)
    return expand_shards(patterns, loaded.directory)


def _plan(item: DataSet, split: str, shards: tuple[str, ...]) -> SetPlan:
    return SetPlan(
        name=item.name,
        split=split,
        shards=shards,
        modalities=tuple(item.modalities),
        share=1.0,
        missing=item.missing,
        label=item.label,
        samples=0,
        combinations=(),
        source=None,
    )
