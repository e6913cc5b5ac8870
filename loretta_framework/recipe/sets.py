"""Data sets as found in the shard index: which modalities each sample really has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from loretta_framework.api.errors import ShardError
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Component, Components
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import Reason, SetPlan
from loretta_framework.recipe.schema import DataSet
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Builder, Registry
from loretta_framework.shards.index import SampleEntry, ShardIndex, expand_shards, open_index
from loretta_framework.shards.members import META, SEQUENCE, modality_of

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
    """
    plan = DataPlan()
    for split in SPLITS:
        sets: list[DataSet] = getattr(loaded.recipe.data, split)
        shares = _shares(split, sets, plan)
        for index, item in enumerate(sets):
            source = components.get(("data", split, index, "source"))
            mapping = _mapping(source, registry)
            found = _open(loaded, ("data", split, index), item)
            counter = _Counter(loaded.where(("data", split, index)), item, mapping)
            combinations = counter.count(found)
            plan.digests.append((split, item.name, found.digest))
            if split == "train":
                plan.seen[item.name] = [name for name, _ in counter.members.most_common()]
            plan.reasons += _absent(split, item, combinations)
            plan.sets.append(
                SetPlan(
                    name=item.name,
                    split=split,
                    shards=tuple(map(str, found.shards)),
                    modalities=tuple(item.modalities),
                    share=shares[index],
                    missing=item.missing,
                    label=item.label,
                    samples=sum(count for _, count in combinations),
                    combinations=combinations,
                    source=source.plan if source else None,
                    digest=found.digest,
                    max_epochs=item.max_epochs,
                )
            )
    return plan


def _mapping(source: Component | None, registry: Registry) -> MemberMap:
    if source is None:
        return modality_of
    built = Builder(registry).build_spec("source", source.node.kind, source.node.settings)
    mapping: MemberMap = built.modality_of
    return mapping


def _shares(split: str, sets: list[DataSet], plan: DataPlan) -> list[float]:
    """A set without a share counts as 1, so that sets without one share equally."""
    raw = [1.0 if item.share is None else item.share for item in sets]
    shares = [share / sum(raw) for share in raw]
    for item, share in zip(sets, shares, strict=True):
        if item.share is None and len(sets) > 1:
            why = "it gives no share, which counts as 1; the shares of a split are normalised to 1"
            plan.reasons.append(Reason(f"data.{split}.{item.name}.share", f"{share:.4g}", why))
    return shares


def _open(loaded: LoadedRecipe, path: KeyPath, item: DataSet) -> ShardIndex:
    try:
        return open_index(expand_shards(item.shards, loaded.directory))
    except ShardError as error:
        where = ": ".join(filter(None, [loaded.where((*path, "shards")), error.where]))
        raise ShardError(error.what, where=where, fix=error.fix) from error


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
        self._known: dict[tuple[str, ...], Combination] = {}
        self._mapped: dict[str, str | None] = {META: None, SEQUENCE: None}

    def count(self, index: ShardIndex) -> tuple[tuple[Combination, int], ...]:
        """(modalities in declared order, samples), largest first."""
        counts: Counter[Combination] = Counter()
        shapes: Counter[tuple[str, ...]] = Counter()
        for entry in index.entries:
            names = tuple(member.name for member in entry.members)
            shapes[names] += 1
            if names not in self._known:
                self._known[names] = self._combination(names)
            combo = self._known[names]
            if len(combo) < len(self.item.modalities) and self.item.missing != "keep":
                self._refuse(entry, index, combo)
            elif combo:
                counts[combo] += 1
        for names, number in shapes.items():
            for name in names:
                self.members[name] += number
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

    def _refuse(self, entry: SampleEntry, index: ShardIndex, combo: Combination) -> None:
        if self.item.missing != "error":
            return
        lacking = [name for name in self.item.modalities if name not in combo]
        members = ", ".join(member.name for member in entry.members)
        raise ShardError(
            f"sample '{entry.key}' lacks {', '.join(lacking)} (it has: {members})",
            where=f"{self.where}: {index.shards[entry.shard]}",
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
