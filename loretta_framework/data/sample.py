"""The samples of one data set as the recipe sees them: declared modalities only, parts in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.api.protocols import RowSource, SampleStore, Source
from loretta_framework.data.parts import Part, ShapeParts, shape_parts
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.index import open_index
from loretta_framework.shards.members import META, SEQUENCE, modality_of as by_name
from loretta_framework.shards.table import equal_keys

MAX_JSON_BYTES = 1 << 20
"""Of `meta.json` and `sequence.json`: JSON takes up to thirty times its size in memory."""


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
        source: maps members, and opens the set if it is a `RowSource`; default: tars whose member
            names agree with the recipe.

    Attributes:
        plan: as given.
        store: where the samples lie.
        rows_R: int64 (R,), the number in `store` of each usable sample, ascending.

    Raises:
        ShardError: shards are missing or damaged, nothing is usable, or two samples share a key.
    """

    def __init__(self, set_plan: SetPlan, source: Source | None = None) -> None:
        self.plan = set_plan
        self.store = open_store(set_plan, source)
        mapping = by_name if source is None else source.modality_of
        self._shapes = [shape_parts(s, set_plan.modalities, mapping) for s in self.store.shapes]
        self.rows_R = self._usable()
        if not len(self.rows_R):
            raise ShardError(
                f"no sample holds {', '.join(set_plan.modalities)}",
                where=f"data set '{set_plan.name}'",
                fix="check `modalities` and `missing`; `loretta data index` shows what shards hold",
            )
        self._require_unique_keys()

    def __len__(self) -> int:
        return len(self.rows_R)

    @property
    def boundaries(self) -> list[int]:
        """The first row of each shard that has any, ascending from 0."""
        first = np.searchsorted(self.rows_R, np.asarray(self.store.starts, dtype=np.int64))
        return [int(row) for row in np.unique(first) if row < len(self)]

    def key(self, row: int) -> str:
        """ "<set>/<key>", as in `RawSample`."""
        return f"{self.plan.name}/{self.store.key(self._sample(row))}"

    def key_hashes(self) -> NDArray[np.uint64]:
        """(R,) 64-bit hashes of the rows' keys within the set."""
        return self.store.key_hashes()[self.rows_R]

    def place(self, row: int) -> tuple[str, str]:
        """(shard path, sample key) of a row, for messages."""
        sample = self._sample(row)
        return self.store.place(sample), self.store.key(sample)

    def modalities(self, row: int) -> frozenset[str]:
        """The declared modalities that a row has, from the index alone."""
        return self._shape(self._sample(row)).present

    def clashes(self, row: int) -> bool:
        """Whether two members of a row are the same part, which no byte of theirs could mend."""
        return self._shape(self._sample(row)).clash is not None

    def sizes(self, row: int) -> tuple[tuple[str, int], ...]:
        """(modality, bytes) of each part of a row in declared order, without reading any."""
        sample = self._sample(row)
        parts = self._shape(sample).members
        return tuple((name, self.store.size(sample, m)) for (name, _), m in parts.items())

    def arrangement(self, row: int) -> tuple[Part, ...]:
        """(modality, instance) of each part, in the order in which `read` gives them.

        Raises:
            DamagedSampleError: the sample's own order cannot be used.
        """
        sample = self._sample(row)
        shape = self._shape(sample)
        sequence = shape.member(SEQUENCE)
        parts = shape.members
        return tuple(parts if sequence is None else self._ordered(sample, sequence, parts))

    def read(self, row: int, only: str | None = None) -> RawSample:
        """The files of a row; with `only`, those of that modality and neither order nor label.

        Raises:
            DamagedSampleError: this sample's bytes, order or label cannot be used.
            ShardError: the shard cannot be read.
        """
        sample, key = self._sample(row), self.key(row)
        shape = self._shape(sample)
        if shape.clash is not None:
            raise self._clashed(sample, shape)
        parts = shape.members
        if only is not None:
            parts = {part: member for part, member in parts.items() if part[0] == only}
            return RawSample(key, self._contents(sample, parts))
        sequence = shape.member(SEQUENCE)
        if sequence is not None:
            parts = self._ordered(sample, sequence, parts)
        contents = self._contents(sample, parts)
        return RawSample(key, contents, sequence is not None, self._label(sample))

    def _sample(self, row: int) -> int:
        return int(self.rows_R[row])

    def _shape(self, sample: int) -> ShapeParts:
        return self._shapes[int(self.store.shape_S[sample])]

    def _usable(self) -> NDArray[np.int64]:
        """Numbers of the samples that the set's policy lets in."""
        names = self.plan.modalities
        lacking = np.array([len(shape.present) < len(names) for shape in self._shapes], dtype=bool)
        usable = np.array([bool(shape.present) for shape in self._shapes], dtype=bool)
        shape_S = self.store.shape_S
        if self.plan.missing == "error" and lacking[shape_S].any():
            sample = int(np.flatnonzero(lacking[shape_S])[0])
            absent = [name for name in names if name not in self._shape(sample).present]
            raise ShardError(
                f"the sample lacks '{absent[0]}', and the set says missing: error",
                where=f"data set '{self.plan.name}', key '{self.store.key(sample)}'",
                fix="add the member, or set missing: keep or skip",
            )
        if self.plan.missing == "skip":
            usable &= ~lacking
        return np.flatnonzero(usable[shape_S])

    def _require_unique_keys(self) -> None:
        for one, two in equal_keys(self.key_hashes(), lambda row: self.place(row)[1]):
            (first, key), (second, _) = self.place(one), self.place(two)
            raise ShardError(
                f"two shards hold the key '{key}': {_file(first)} and {_file(second)}",
                where=f"data set '{self.plan.name}'",
                fix="rename the samples, or declare the shards as two sets",
            )

    def _contents(
        self, sample: int, parts: Mapping[Part, int]
    ) -> tuple[tuple[str, bytes, str], ...]:
        shape, store = self._shape(sample), self.store
        return tuple(
            (modality, store.read(sample, member), shape.extension(member))
            for (modality, _), member in parts.items()
        )

    def _ordered(self, sample: int, member: int, parts: dict[Part, int]) -> dict[Part, int]:
        names = self._json(sample, member)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._damaged(sample, member, "it must be a list of names", _SEQUENCE_FIX)
        wanted = [_part(name) for name in names]
        wanted = [part for part in wanted if part[0] in self.plan.modalities]
        if sorted(wanted) != sorted(parts):
            expected = ", ".join(f"{modality}.{number}" for modality, number in parts)
            raise self._damaged(
                sample,
                member,
                f"it must name each part of the sample once ({expected}), but is {str(names)[:200]}",
                _SEQUENCE_FIX,
            )
        return {part: parts[part] for part in wanted}

    def _label(self, sample: int) -> str | None:
        if self.plan.label is None:
            return None
        stem, _, path = self.plan.label.partition(".")
        member = self._shape(sample).member(f"{stem}.json")
        if member is None:
            raise DamagedSampleError(
                f"the set's label is '{self.plan.label}', but the sample has no {stem}.json",
                member=META,
                where=f"{self.store.place(sample)}, key '{self.store.key(sample)}'",
                fix="add the member, or take `label` out of the recipe",
            )
        value = self._json(sample, member)
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._damaged(
                    sample,
                    member,
                    f"the set's label is '{self.plan.label}', but '{name}' is not there",
                    "add it, or take `label` out of the recipe",
                )
            value = value[name]
        if not isinstance(value, str | int):  # a truth value is an int
            text = json.dumps(value)
            raise self._damaged(
                sample,
                member,
                f"the set's label '{self.plan.label}' must be text, a whole number or true/false, "
                f"but is {text if len(text) <= 100 else f'{text[:97]}...'}",
                "mend it, or take `label` out of the recipe",
            )
        return str(value)

    def _json(self, sample: int, member: int) -> Any:
        size = self.store.size(sample, member)
        if size > MAX_JSON_BYTES:
            what = f"it may have at most {MAX_JSON_BYTES} bytes, but has {size}"
            raise self._damaged(sample, member, what, "leave out what is not needed")
        try:
            return json.loads(self.store.read(sample, member))
        except (ValueError, RecursionError) as error:
            raise self._damaged(
                sample, member, f"it is not JSON: {error}", "write it again"
            ) from error

    def _clashed(self, sample: int, shape: ShapeParts) -> DamagedSampleError:
        assert shape.clash is not None
        one, two = shape.clash
        part = next(part for part, member in shape.members.items() if member == one)
        what = f"'{shape.names[one]}' and '{shape.names[two]}' are both {part[0]} number {part[1]}"
        return self._damaged(sample, two, what, "number the members: image.0.png, image.1.png")

    def _damaged(self, sample: int, member: int, what: str, fix: str) -> DamagedSampleError:
        name = self._shape(sample).names[member]
        where = f"{self.store.place(sample)}, key '{self.store.key(sample)}', member '{name}'"
        return DamagedSampleError(what, member=name, where=where, fix=fix)


def open_store(set_plan: SetPlan, source: Source | None = None) -> SampleStore:
    """Where the samples of a set lie.

    Raises:
        ShardError: a shard is missing or damaged, or the source finds nothing.
    """
    if isinstance(source, RowSource):
        return source.open(set_plan.shards, Path("/"))
    return open_index(set_plan.shards)


def open_sets(
    sets: Sequence[SetPlan], sources: Mapping[str, Source] | None = None
) -> list[SetReader]:
    """A reader per set. `sources` holds the built source of each set that declares one, by
    "<split>/<name>".

    Raises:
        ShardError: see `SetReader`.
        KeyError: a declared source was not handed over; the default mapping would be wrong.
    """
    return [SetReader(item, source_of(item, sources)) for item in sets]


def source_of(item: SetPlan, sources: Mapping[str, Source] | None) -> Source | None:
    """The built source of a set, None when it declares none.

    Raises:
        KeyError: a declared source is not among them.
    """
    return None if item.source is None else (sources or {})[f"{item.split}/{item.name}"]


_SEQUENCE_FIX = 'write a list such as ["text.0", "image.0", "text.1"]'


def _file(place: str) -> str:
    return place.rpartition("/")[2]


def _part(name: str) -> Part:
    modality, _, number = name.partition(".")
    if not (number.isascii() and number.isdigit()):
        return modality, 0
    return modality, int(number) if len(number) < 10 else -1
