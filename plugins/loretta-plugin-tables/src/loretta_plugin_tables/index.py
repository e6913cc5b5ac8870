"""The index of one table file: sizes and checksums of every cell, kept beside the file.

Axes: C members, R rows, G row groups. Without it each start of a run would decode every row once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from loretta_framework.api.atomic import write_bytes_atomically
from loretta_framework.api.errors import ShardError
from loretta_framework.api.keys import key_hashes
from loretta_plugin_tables.columns import Cell, cells, facts
from loretta_plugin_tables.files import TableFile

FORMAT = "2"
ABSENT, UNUSABLE = -1, -2
"""In place of a size: the cell is null; the cell cannot become the file that it should."""

_MAX_KEY = 1000


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the samples: its name, and the columns that it is made of."""

    name: str
    columns: tuple[str, ...]
    is_facts: bool = False


@dataclass(frozen=True, slots=True)
class TableIndex:
    """What is known of a file.

    Attributes:
        sha256: of its content, in hexadecimal.
        groups_G: int64, rows of each group.
        sizes_CR: int64, bytes, `ABSENT` or `UNUSABLE`.
        crcs_CR: uint32, checksums of the bytes.
        key_ends_R: int64, end of each key in `key_bytes`; empty without a key column.
        key_bytes: uint8, the keys as UTF-8, one after another.
        hashes_R: uint64, of the keys; empty without a key column.
    """

    sha256: str
    groups_G: NDArray[np.int64]
    sizes_CR: NDArray[np.int64]
    crcs_CR: NDArray[np.uint32]
    key_ends_R: NDArray[np.int64]
    key_bytes: NDArray[np.uint8]
    hashes_R: NDArray[np.uint64]

    def key(self, row: int) -> str:
        """The key of a row, from the key column."""
        start = int(self.key_ends_R[row - 1]) if row else 0
        return self.key_bytes[start : int(self.key_ends_R[row])].tobytes().decode()


_TYPES = {
    "groups_G": np.int64,
    "sizes_CR": np.int64,
    "crcs_CR": np.uint32,
    "key_ends_R": np.int64,
    "key_bytes": np.uint8,
    "hashes_R": np.uint64,
}
_Fields: TypeAlias = "dict[str, NDArray[np.generic]]"


def member_cells(file: TableFile, group: int, member: Member) -> Cell:
    """The cells of a member in one group.

    Raises:
        ShardError: the file cannot be read, or a column has no such form.
    """
    try:
        columns = {name: file.column(group, name) for name in member.columns}
        if member.is_facts:
            return facts(columns, file.labels)
        ((name, values),) = columns.items()
        return cells(values, member.name.rpartition(".")[2], file.labels.get(name, ()))
    except TypeError as error:
        raise ShardError(
            f"column '{', '.join(member.columns)}' cannot become '{member.name}': {error}",
            where=str(file.path),
            fix="correct `columns` in the settings of the set's `source`",
        ) from error


def open_table(file: TableFile, members: Sequence[Member], key: str | None) -> TableIndex:
    """The index of a file, from beside it or made now and written there.

    Raises:
        ShardError: the file, a column or a key cannot be used.
    """
    settings = [FORMAT, repr(sorted(file.labels.items())), repr(members), repr(key)]
    stamp = {"status": repr(file.status), "settings": "\n".join(settings)}
    mark = sha256(stamp["settings"].encode()).hexdigest()[:8]
    path = file.path.with_name(f"{file.path.name}.{mark}.index.safetensors")
    found = _read(path, stamp, len(members), key is not None)
    if found is None:
        found = _build(file, members, key)
        with suppress(OSError):  # a folder that cannot be written: it is made again next time
            _write(path, found, stamp)
    return found


def _build(file: TableFile, members: Sequence[Member], key: str | None) -> TableIndex:
    groups = file.group_rows()
    rows = sum(groups)
    sizes_CR = np.full((len(members), rows), ABSENT, np.int64)
    crcs_CR = np.zeros((len(members), rows), np.uint32)
    keys: list[str] = []
    start = 0
    for group, count in enumerate(groups):
        for place, member in enumerate(members):
            read = member_cells(file, group, member)
            for row in range(count):
                sizes_CR[place, start + row], crcs_CR[place, start + row] = _measure(read, row)
        if key is not None:
            keys += _keys(file, group, key, start, count)
        start += count
    encoded = [name.encode() for name in keys]
    return TableIndex(
        sha256=_digest(file.path),
        groups_G=np.asarray(groups, np.int64),
        sizes_CR=sizes_CR,
        crcs_CR=crcs_CR,
        key_ends_R=np.cumsum([len(name) for name in encoded], dtype=np.int64),
        key_bytes=np.frombuffer(b"".join(encoded), np.uint8),
        hashes_R=key_hashes(keys),
    )


def _measure(read: Cell, row: int) -> tuple[int, int]:
    try:
        data = read(row)
    except ValueError:
        return UNUSABLE, 0
    return (ABSENT, 0) if data is None else (len(data), zlib.crc32(data))


def _keys(file: TableFile, group: int, column: str, start: int, count: int) -> list[str]:
    read = member_cells(file, group, Member("key.txt", (column,)))
    found = []
    for row in range(count):
        try:
            text = (read(row) or b"").decode("utf-8")
        except ValueError:
            text = ""
        if not text:
            raise ShardError(
                f"row {start + row} has no key in column '{column}'",
                where=str(file.path),
                fix="fill the column, or take `key` out of the source's settings",
            )
        if not _may_be_key(text):
            raise ShardError(
                f"row {start + row} has the key {text[:200]!a} in column '{column}', "
                "which no sample may have",
                where=str(file.path),
                fix=f"write keys of at most {_MAX_KEY} characters without dots, slashes and control "
                "characters, or take `key` out of the source's settings",
            )
        found.append(text)
    return found


def _may_be_key(text: str) -> bool:
    """Whether shards could hold the key: tokens are cached, and samples exported, under it."""
    return len(text) <= _MAX_KEY and text.isprintable() and not any(c in text for c in "./\\")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            digest = sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ShardError(
            f"the table cannot be read: {error}", where=str(path), fix="check the file"
        ) from error
    return digest.hexdigest()


def _read(path: Path, stamp: dict[str, str], members: int, keyed: bool) -> TableIndex | None:
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            if {name: about.get(name) for name in stamp} != stamp:
                return None
            arrays = {name: file.get_tensor(name) for name in _TYPES}
            found = TableIndex(sha256=bytes.fromhex(about["sha256"]).hex(), **arrays)
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    return found if _is_sound(found, members, keyed) else None


def _is_sound(index: TableIndex, members: int, keyed: bool) -> bool:
    """Whether the arrays fit each other: the file lies where anybody may have changed it."""
    if any(getattr(index, name).dtype != kind for name, kind in _TYPES.items()):
        return False
    rows = int(index.groups_G.sum())
    ends_R = index.key_ends_R
    return bool(
        index.groups_G.ndim == ends_R.ndim == index.hashes_R.ndim == index.key_bytes.ndim == 1
        and (index.groups_G >= 0).all()
        and index.sizes_CR.shape == index.crcs_CR.shape == (members, rows)
        and ends_R.shape == index.hashes_R.shape == (rows if keyed else 0,)
        and (np.diff(ends_R, prepend=0) >= 0).all()
        and (int(ends_R[-1]) if len(ends_R) else 0) == len(index.key_bytes)
    )


def _write(path: Path, index: TableIndex, stamp: dict[str, str]) -> None:
    """Written aside under a name of its own and renamed: ranks may index one file at once."""
    arrays: _Fields = {name: np.ascontiguousarray(getattr(index, name)) for name in _TYPES}
    write_bytes_atomically(path, save(arrays, {**stamp, "sha256": index.sha256}))
