"""Data sets as found in the shard index: which modalities each sample really has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from loretta_framework.api.errors import RecipeError, ShardError
from loretta_framework.api.protocols import RowSource, SampleStore, Source
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.mixing import mixing_shares, too_small
from loretta_framework.recipe.nodes import Component, Components
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import Reason, SetPlan
from loretta_framework.recipe.schema import DataSet
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Builder, Registry
from loretta_framework.shards.census import Census, take_census
from loretta_framework.shards.members import META, SEQUENCE, modality_of
from loretta_framework.shards.patterns import expand_shards
from loretta_framework.shards.remote.locations import is_url

Combination: TypeAlias = tuple[str, ...]
MemberMap: TypeAlias = Callable[[str], str | None]


@dataclass(slots=True)
class DataPlan:
    """All sets of a recipe.

    Attributes:
        sets: in split order, then recipe order.
        digests: (split, set name, digest of its shards' contents).
        seen: training set name -> member names that occur in it, most frequent first.
        reasons: automatic choices.
    """

    sets: list[SetPlan] = field(default_factory=list)
    digests: list[tuple[str, str, str]] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)

    @property
    def training(self) -> list[SetPlan]:
        """The sets that the model learns from."""
        return [item for item in self.sets if item.split == "train"]

    def counts(self) -> dict[frozenset[str], int]:
        """Samples per modality combination over the training sets."""
        total: Counter[frozenset[str]] = Counter()
        for item in self.training:
            total.update({frozenset(combo): count for combo, count in item.combinations})
        return dict(total)


def plan_sets(loaded: LoadedRecipe, components: Components, registry: Registry) -> DataPlan:
    """Open the index of every set and count.

    Raises:
        ShardError: shards are missing or damaged, a sample breaks `missing: error`, or nothing of
            a set is left.
        RecipeError: a set's share is too small to be kept.
    """
    plan = DataPlan()
    for split in SPLITS:
        sets: list[DataSet] = getattr(loaded.recipe.data, split)
        for index, item in enumerate(sets):
            source = components.get(("data", split, index, "source"))
            built = _built(source, registry)
            mapping = modality_of if built is None else built.modality_of
            locations, found = _counted(loaded, ("data", split, index), item, built)
            counter = _Counter(loaded.where(("data", split, index)), item, mapping)
            combinations = counter.count(found)
            plan.digests.append((split, item.name, found.census.digest))
            if split == "train":
                plan.seen[item.name] = [name for name, _ in counter.members.most_common()]
            plan.reasons += _absent(split, item, combinations)
            plan.sets.append(
                SetPlan(
                    name=item.name,
                    split=split,
                    shards=locations,
                    modalities=tuple(item.modalities),
                    share=0.0,  # known once all sets of the split are counted
                    missing=item.missing,
                    label=item.label,
                    samples=sum(count for _, count in combinations),
                    combinations=combinations,
                    source=source.plan if source else None,
                    digest=found.census.digest,
                    max_epochs=item.max_epochs,
                )
            )
        _share_out(loaded, split, sets, plan)
    return plan


def _built(source: Component | None, registry: Registry) -> Source | None:
    if source is None:
        return None
    built: Source = Builder(registry).build_spec("source", source.node.kind, source.node.settings)
    return built


def _share_out(loaded: LoadedRecipe, split: str, sets: list[DataSet], plan: DataPlan) -> None:
    """Give the sets of a split, the last that were planned, their shares."""
    planned = [item for item in plan.sets if item.split == split]
    counted = [item.combinations for item in planned]
    shares, reasons = mixing_shares(loaded.recipe.data.mixing, split, sets, counted)
    problems = too_small(split, sets, shares, loaded.where)
    if problems:
        raise RecipeError(problems)
    plan.sets[len(plan.sets) - len(planned) :] = [
        replace(item, share=share) for item, share in zip(planned, shares, strict=True)
    ]
    plan.reasons += reasons


@dataclass(frozen=True, slots=True)
class _Samples:
    """What a set holds: counts, and the samples themselves for who asks."""

    census: Census
    store: Callable[[], SampleStore]


def _counted(
    loaded: LoadedRecipe, path: KeyPath, item: DataSet, source: Source | None
) -> tuple[tuple[str, ...], _Samples]:
    """(locations, or the patterns that the source opens by itself, in absolute form; samples)."""
    patterns = [item.shards] if isinstance(item.shards, str) else item.shards
    try:
        if isinstance(source, RowSource):
            absolute = tuple(_absolute(pattern, loaded.directory) for pattern in patterns)
            return absolute, _opened(source.open(absolute, Path("/")))
        locations = tuple(map(str, expand_shards(patterns, loaded.directory)))
        census = take_census(locations)
        if census is not None:
            return locations, _Samples(census, lambda: _store(locations))
        return locations, _opened(_store(locations))
    except ShardError as error:
        where = ": ".join(filter(None, [loaded.where((*path, "shards")), error.where]))
        raise ShardError(error.what, where=where, fix=error.fix) from error


def _store(locations: Sequence[str]) -> SampleStore:
    from loretta_framework.shards.index import open_index  # needs numpy, which a census does not

    return open_index(locations)


def _opened(store: SampleStore) -> _Samples:
    import numpy as np  # the store has imported it; a list of its samples could fill the memory

    counts = np.bincount(store.shape_S, minlength=len(store.shapes)).tolist()
    return _Samples(Census(tuple(store.shapes), tuple(counts), store.digest), lambda: store)


def _absolute(pattern: str, base: Path) -> str:
    """The pattern as it can be opened from any folder."""
    return pattern if is_url(pattern) else os.path.abspath(base / pattern)


def _absent(
    split: str, item: DataSet, combinations: tuple[tuple[Combination, int], ...]
) -> Iterator[Reason]:
    present = {name for combo, _ in combinations for name in combo}
    for name in item.modalities:
        if name not in present:
            why = f"no sample of '{item.name}' has it, although the set declares it"
            yield Reason(f"data.{split}.{item.name}.modalities", f"{name} is absent", why)


class _Counter:
    """Counts a set's samples by modality combination, under its `missing` policy."""

    def __init__(self, where: str, item: DataSet, mapping: MemberMap) -> None:
        self.where, self.item, self.mapping = where, item, mapping
        self.members: Counter[str] = Counter()
        self._mapped: dict[str, str | None] = {META: None, SEQUENCE: None}

    def count(self, samples: _Samples) -> tuple[tuple[Combination, int], ...]:
        """(modalities in declared order, samples), largest first."""
        counts: Counter[Combination] = Counter()
        census = samples.census
        combos = [self._combination(names) for names in census.shapes]
        self._refuse_incomplete(samples, combos)
        for names, combo, number in zip(census.shapes, combos, census.counts, strict=True):
            self.members.update(dict.fromkeys(names, number))
            complete = len(combo) == len(self.item.modalities)
            if number and combo and (complete or self.item.missing == "keep"):
                counts[combo] += number
        self._require_some(counts)
        order = {name: place for place, name in enumerate(self.item.modalities)}
        return tuple(
            sorted(counts.items(), key=lambda pair: (-pair[1], [order[name] for name in pair[0]]))
        )

    def _combination(self, names: tuple[str, ...]) -> Combination:
        for name in names:
            if name not in self._mapped:
                self._mapped[name] = self.mapping(name)
        present = {self._mapped[name] for name in names}
        return tuple(name for name in self.item.modalities if name in present)

    def _refuse_incomplete(self, samples: _Samples, combos: list[Combination]) -> None:
        if self.item.missing != "error":
            return
        short = {
            place
            for place, combo in enumerate(combos)
            if samples.census.counts[place] and len(combo) < len(self.item.modalities)
        }
        if not short:
            return
        store = samples.store()
        shapes = [store.shapes.index(samples.census.shapes[place]) for place in short]
        sample = next(n for n, shape in enumerate(store.shape_S.tolist()) if shape in shapes)
        shape = int(store.shape_S[sample])
        place = samples.census.shapes.index(store.shapes[shape])
        lacking = [name for name in self.item.modalities if name not in combos[place]]
        raise ShardError(
            f"sample '{store.key(sample)}' lacks {', '.join(lacking)} "
            f"(it has: {', '.join(store.shapes[shape])})",
            where=f"{self.where}: {store.place(sample)}",
            fix="complete the sample, or set `missing: keep` or `missing: skip` for this set",
        )

    def _require_some(self, counts: Counter[Combination]) -> None:
        if counts:
            return
        seen = ", ".join(name for name, _ in self.members.most_common(10))
        wanted = ", ".join(self.item.modalities)
        how = "all of" if self.item.missing == "skip" else "any of"
        raise ShardError(
            f"no sample of '{self.item.name}' has {how} {wanted}; its members are: {seen}",
            where=self.where,
            fix="name members <key>.<modality>.<extension>, map them with a `source`, "
            "or correct `modalities`",
        )
