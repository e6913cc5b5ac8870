"""The samples of one data set as the recipe sees them: declared modalities only, parts in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.api.protocols import Source
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.index import Member, SampleEntry, open_index
from loretta_framework.shards.members import META, SEQUENCE, parse_local
from loretta_framework.shards.members import modality_of as by_name
from loretta_framework.shards.reading import DamagedSampleError, MemberReader

Mapper = Callable[[str], "str | None"]
"""Local member name -> the recipe's modality, None to leave the member out."""


@dataclass(frozen=True, slots=True)
class RawSample:
    """The files of a sample.

    Attributes:
        key: "<set>/<key>".
        parts: (modality, bytes, extension) in order.
        ordered: the sample's own `sequence.json` gave the order.
        label: its class, None when the set declares none.
    """

    key: str
    parts: tuple[tuple[str, bytes, str], ...]
    ordered: bool = False
    label: str | None = None


class SetReader:
    """Random access to the usable samples of a set, in shard order. Survives fork and pickle.

    Args:
        set_plan: what the recipe declares; its `missing` policy decides which samples are usable:
            "keep" those with some declared modality, "skip" those with all, "error" refuses a
            sample that lacks one.
        modality_of: maps members, `Source.modality_of`; default: the names agree.

    Raises:
        ShardError: shards are missing or damaged, nothing is usable, or two samples share a key.
    """

    def __init__(self, set_plan: SetPlan, modality_of: Mapper | None = None) -> None:
        self.plan = set_plan
        self._source: Mapper = modality_of or by_name
        index = open_index([Path(shard) for shard in set_plan.shards])
        self.shards = index.shards
        self._files = MemberReader(index.shards)
        self._entries = [entry for entry in index.entries if self._usable(entry)]
        if not self._entries:
            raise ShardError(
                f"no sample holds {', '.join(set_plan.modalities)}",
                where=f"data set '{set_plan.name}'",
                fix="check `modalities` and `missing`; `loretta data index` shows what shards hold",
            )
        self._require_unique_keys()

    def __len__(self) -> int:
        return len(self._entries)

    def place(self, row: int) -> tuple[str, str]:
        """(shard path, sample key) of a row, for messages."""
        entry = self._entries[row]
        return str(self.shards[entry.shard]), entry.key

    def modalities(self, row: int) -> frozenset[str]:
        """The declared modalities that a row has, from the index alone."""
        return self._present(self._entries[row])

    def read(self, row: int, only: str | None = None) -> RawSample:
        """The files of a row; with `only`, those of that modality and neither order nor label.

        Raises:
            DamagedSampleError: this sample's bytes, order or label cannot be used.
            ShardError: the shard cannot be read.
        """
        entry = self._entries[row]
        key = f"{self.plan.name}/{entry.key}"
        members = self._parts(entry)
        names = {member.name: member for member in entry.members}
        if only is not None:
            members = {part: member for part, member in members.items() if part[0] == only}
            return RawSample(key, self._contents(entry, members))
        ordered = SEQUENCE in names
        if ordered:
            members = self._ordered(entry, names[SEQUENCE], members)
        return RawSample(key, self._contents(entry, members), ordered, self._label(entry, names))

    def _usable(self, entry: SampleEntry) -> bool:
        present = self._present(entry)
        lacking = [name for name in self.plan.modalities if name not in present]
        if lacking and self.plan.missing == "error":
            raise ShardError(
                f"the sample lacks '{lacking[0]}', and the set says missing: error",
                where=f"data set '{self.plan.name}', key '{entry.key}'",
                fix="add the member, or set missing: keep or skip",
            )
        return bool(present) and not (lacking and self.plan.missing == "skip")

    def _map(self, member: str) -> str | None:
        return None if member in (META, SEQUENCE) else self._source(member)

    def _present(self, entry: SampleEntry) -> frozenset[str]:
        mapped = {self._map(member.name) for member in entry.members}
        return frozenset(name for name in self.plan.modalities if name in mapped)

    def _require_unique_keys(self) -> None:
        seen: dict[str, int] = {}
        for entry in self._entries:
            if seen.setdefault(entry.key, entry.shard) != entry.shard:
                raise ShardError(
                    f"two shards hold the key '{entry.key}': {self.shards[seen[entry.key]].name} "
                    f"and {self.shards[entry.shard].name}",
                    where=f"data set '{self.plan.name}'",
                    fix="rename the samples, or declare the shards as two sets",
                )

    def _parts(self, entry: SampleEntry) -> dict[tuple[str, int], Member]:
        """(modality, instance) -> member, modalities as declared, instances in numeric order."""
        found: dict[tuple[str, int], Member] = {}
        for member in entry.members:
            modality = self._map(member.name)
            if modality not in self.plan.modalities:
                continue
            part = (modality, parse_local(member.name)[1])
            if part in found:
                raise self._damaged(
                    entry,
                    member,
                    f"'{found[part].name}' and '{member.name}' are both {modality} number {part[1]}",
                    "number the members: image.0.png, image.1.png",
                )
            found[part] = member
        order = self.plan.modalities.index
        return {part: found[part] for part in sorted(found, key=lambda p: (order(p[0]), p[1]))}

    def _contents(
        self, entry: SampleEntry, members: Mapping[tuple[str, int], Member]
    ) -> tuple[tuple[str, bytes, str], ...]:
        return tuple(
            (modality, self._files.read(entry, member), parse_local(member.name)[2])
            for (modality, _), member in members.items()
        )

    def _ordered(
        self, entry: SampleEntry, member: Member, parts: dict[tuple[str, int], Member]
    ) -> dict[tuple[str, int], Member]:
        names = self._json(entry, member)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._damaged(entry, member, "it must be a list of names", _SEQUENCE_FIX)
        wanted = [_part(name) for name in names]
        wanted = [part for part in wanted if part[0] in self.plan.modalities]
        if sorted(wanted) != sorted(parts):
            shown = ", ".join(f"{modality}.{number}" for modality, number in parts)
            raise self._damaged(
                entry,
                member,
                f"it must name each part of the sample once ({shown}), but is {names}",
                _SEQUENCE_FIX,
            )
        return {part: parts[part] for part in wanted}

    def _label(self, entry: SampleEntry, names: Mapping[str, Member]) -> str | None:
        if self.plan.label is None:
            return None
        stem, _, path = self.plan.label.partition(".")
        member = names.get(f"{stem}.json")
        if member is None:
            where = f"{self.shards[entry.shard]}, key '{entry.key}'"
            raise DamagedSampleError(
                f"the set's label is '{self.plan.label}', but the sample has no {stem}.json",
                member=META,
                where=where,
                fix="add the member, or take `label` out of the recipe",
            )
        value = self._json(entry, member)
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._damaged(
                    entry,
                    member,
                    f"the set's label is '{self.plan.label}', but '{name}' is not there",
                    "add it, or take `label` out of the recipe",
                )
            value = value[name]
        return str(value)

    def _json(self, entry: SampleEntry, member: Member) -> Any:
        try:
            return json.loads(self._files.read(entry, member))
        except (ValueError, RecursionError) as error:
            raise self._damaged(
                entry, member, f"it is not JSON: {error}", "write it again"
            ) from error

    def _damaged(
        self, entry: SampleEntry, member: Member, what: str, fix: str
    ) -> DamagedSampleError:
        where = f"{self.shards[entry.shard]}, key '{entry.key}', member '{member.name}'"
        return DamagedSampleError(what, member=member.name, where=where, fix=fix)


def open_sets(
    sets: Sequence[SetPlan], sources: Mapping[str, Source] | None = None
) -> list[SetReader]:
    """A reader per set. `sources` holds the built source of each set that declares one, by
    "<split>/<name>".

    Raises:
        ShardError: see `SetReader`.
        KeyError: a declared source was not handed over; the default mapping would be wrong.
    """
    readers = []
    for item in sets:
        mapper = None
        if item.source is not None:
            mapper = (sources or {})[f"{item.split}/{item.name}"].modality_of
        readers.append(SetReader(item, mapper))
    return readers


_SEQUENCE_FIX = 'write a list such as ["text.0", "image.0", "text.1"]'


def _part(name: str) -> tuple[str, int]:
    modality, _, number = name.partition(".")
    return modality, int(number) if number.isascii() and number.isdigit() else 0
