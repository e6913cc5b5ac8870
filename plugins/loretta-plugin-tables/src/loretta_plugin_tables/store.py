"""Rows of several table files as one `SampleStore`.

Axes: S samples, C members.
"""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.api.keys import key_hashes
from loretta_plugin_tables.columns import Cell
from loretta_plugin_tables.files import TableFile
from loretta_plugin_tables.index import ABSENT, Member, member_cells, open_table
from loretta_plugin_tables.settings import META, TableSettings

_MAX_MAPPED = 256
"""Columns of mapped groups kept ready; they take no memory of their own."""


def modality_of(member: str) -> str | None:
    """The modality of a member's name, `image.1.png` -> `image`; facts and nameless members have none."""
    return None if member == META else member.partition(".")[0] or None


class TableStore:
    """See `loretta_framework.api.protocols.SampleStore`. Keys are those of the key column, or the
    row's number over all files with nine digits.

    Args:
        files: in order.
        settings: which column becomes which member.
        cache_bytes: decoded groups that each process keeps.

    Raises:
        ShardError: a file, column or key cannot be used, or there is no row.
    """

    def __init__(
        self, files: Sequence[TableFile], settings: TableSettings, cache_bytes: int
    ) -> None:
        self._files, self._budget = tuple(files), cache_bytes
        self._members = [Member(name, (column,)) for column, name in settings.columns.items()]
        if settings.meta:
            self._members.append(Member(META, tuple(settings.meta), is_facts=True))
        self._indexes = [open_table(file, self._members, settings.key) for file in self._files]
        self._keyed = settings.key is not None
        rows = [index.sizes_CR.shape[1] for index in self._indexes]
        self._ends = np.cumsum(rows, dtype=np.int64)
        if not sum(rows):
            where = ", ".join(str(file.path) for file in self._files[:3])
            raise ShardError("the tables have no rows", where=where, fix="check the set's `shards`")
        self._find_shapes()
        self._group_ends = [np.cumsum(index.groups_G) for index in self._indexes]
        self.starts = self._starts(rows)
        digests = b"".join(bytes.fromhex(index.sha256) for index in self._indexes)
        self.digest = sha256(digests).hexdigest()
        self._forget()
        if self._keyed:
            self._require_unique_keys(settings.key)

    def __len__(self) -> int:
        """Number of rows in all files."""
        return len(self.shape_S)

    def key(self, sample: int) -> str:
        """The key of a sample."""
        if not self._keyed:
            return f"{sample:09d}"
        file, row = self._locate(sample)
        return self._indexes[file].key(row)

    def key_hashes(self) -> NDArray[np.uint64]:
        """uint64 (S,): equal keys have equal hashes, also in other kinds of stores."""
        if self._keyed:
            return np.concatenate([index.hashes_R for index in self._indexes])
        return key_hashes(f"{sample:09d}" for sample in range(len(self)))

    def place(self, sample: int) -> str:
        """The path of the file that the sample lies in."""
        return str(self._files[self._locate(sample)[0]].path)

    def size(self, sample: int, member: int) -> int:
        """Bytes of a member, from the index; 0 for one that `read` refuses."""
        file, row = self._locate(sample)
        return max(int(self._indexes[file].sizes_CR[self._column(sample, member), row]), 0)

    def read(self, sample: int, member: int) -> bytes:
        """The bytes of a member.

        Raises:
            DamagedSampleError: the cell has no such form, or is not what was indexed.
            ShardError: the file cannot be read.
        """
        file, row = self._locate(sample)
        column = self._column(sample, member)
        group = int(np.searchsorted(self._group_ends[file], row, side="right"))
        first = int(self._group_ends[file][group] - self._indexes[file].groups_G[group])
        try:
            data = self._cells(file, group, column)(row - first)
        except ValueError as error:
            raise self._damaged(file, row, column, str(error), "mend the cell") from error
        index = self._indexes[file]
        if (
            data is None
            or len(data) != index.sizes_CR[column, row]
            or zlib.crc32(data) != index.crcs_CR[column, row]
        ):
            what = "its content is not what was indexed"
            fix = "copy the file again; if it was changed on purpose, delete the index beside it"
            raise self._damaged(file, row, column, what, fix)
        return data

    def _damaged(self, file: int, row: int, column: int, what: str, fix: str) -> DamagedSampleError:
        member = self._members[column]
        where = f"{self._files[file].path}, row {row}, column '{', '.join(member.columns)}'"
        return DamagedSampleError(what, member=member.name, where=where, fix=fix)

    def _locate(self, sample: int) -> tuple[int, int]:
        """(file, row in it)."""
        if not 0 <= sample < len(self):
            raise IndexError(f"sample {sample} of {len(self)}")
        file = int(np.searchsorted(self._ends, sample, side="right"))
        return file, sample - int(self._ends[file]) + self._indexes[file].sizes_CR.shape[1]

    def _column(self, sample: int, member: int) -> int:
        return self._columns[int(self.shape_S[sample])][member]

    def _cells(self, file: int, group: int, column: int) -> Cell:
        """Kept per process: a forked worker reads for itself."""
        if self._process != os.getpid():
            self._forget()
        place = (file, group, column)
        if place not in self._kept:
            member = self._members[column]
            read = member_cells(self._files[file], group, member)
            weight = self._weight(file, group, column)
            self._kept[place] = (read, weight)
            self._held += weight
            while len(self._kept) > 1 and self._full():
                self._held -= self._kept.popitem(last=False)[1][1]
        self._kept.move_to_end(place)
        return self._kept[place][0]

    def _full(self) -> bool:
        return self._held > self._budget or (not self._held and len(self._kept) > _MAX_MAPPED)

    def _weight(self, file: int, group: int, column: int) -> int:
        if not self._files[file].resident:
            return 0
        index = self._indexes[file]
        end = int(self._group_ends[file][group])
        sizes = index.sizes_CR[column, end - int(index.groups_G[group]) : end]
        return int(np.maximum(sizes, 0).sum()) + 8 * len(sizes)

    def _forget(self) -> None:
        self._kept: OrderedDict[tuple[int, int, int], tuple[Cell, int]] = OrderedDict()
        self._held, self._process = 0, os.getpid()

    def _find_shapes(self) -> None:
        """Which members each row has: a bit per member, rows with equal bits share a shape."""
        present_CS = np.concatenate([index.sizes_CR != ABSENT for index in self._indexes], axis=1)
        bits_SB = np.packbits(present_CS.T, axis=1)
        _, first, shape_S = np.unique(bits_SB, axis=0, return_index=True, return_inverse=True)
        self.shape_S = shape_S.reshape(-1).astype(np.uint32)
        self._columns = [tuple(np.flatnonzero(present_CS[:, row]).tolist()) for row in first]
        self.shapes = [
            tuple(self._members[column].name for column in columns) for columns in self._columns
        ]

    def _starts(self, rows: Sequence[int]) -> list[int]:
        starts = []
        for end, count, index in zip(self._ends.tolist(), rows, self._indexes, strict=True):
            position = end - count
            for group in index.groups_G.tolist():
                if group:
                    starts.append(position)
                position += group
        return starts

    def _require_unique_keys(self, column: str | None) -> None:
        hashes_S = self.key_hashes()
        order_S = np.argsort(hashes_S, kind="stable")
        twins = np.flatnonzero(np.diff(hashes_S[order_S]) == 0)
        for twin in twins.tolist():
            first, second = int(order_S[twin]), int(order_S[twin + 1])
            if self.key(first) == self.key(second):
                raise ShardError(
                    f"rows {first} and {second} of the set have the same key '{self.key(first)}'",
                    where=self.place(second),
                    fix=f"make column '{column}' unique, or take `key` out of the settings",
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict(), "_held": 0, "_process": 0}
