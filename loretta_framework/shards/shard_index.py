"""One shard's index: what the shard was, what it holds, and the file that both lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.index_file import read_index, write_index
from loretta_framework.shards.index_header import Fingerprint
from loretta_framework.shards.table import ShardTable


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """See the module's docstring. Pickled by the file's name when there is one.

    Attributes:
        fingerprint: of the shard when it was read.
        table: its samples.
        file: where both lie; None: only in memory, since the folder cannot be written.
    """

    fingerprint: Fingerprint
    table: ShardTable
    file: Path | None

    def __reduce__(self) -> tuple[Callable[..., ShardIndex], tuple[Any, ...]]:
        if self.file is None:
            return ShardIndex, (self.fingerprint, self.table, None)
        return _opened_again, (self.file, self.fingerprint)


def load_index(file: Path) -> ShardIndex:
    """The index in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another format, or no index.
    """
    return ShardIndex(*read_index(file), file)


def build_index(file: Path, scan: Callable[[], tuple[Fingerprint, ShardTable]]) -> ShardIndex:
    """Scan, write the index, and open it where it was written; in memory when it cannot be.

    Args:
        file: where the index goes.
        scan: reads the shard.

    Raises:
        ShardError: what `scan` raises.
    """
    fingerprint, table = scan()
    try:
        write_index(file, fingerprint, table)
    except OSError:
        return ShardIndex(fingerprint, table, None)
    del table  # or it and the mapped file are in memory together
    try:
        return load_index(file)
    except (OSError, ValueError):  # gone again, or spoiled, by someone else
        return ShardIndex(*scan(), None)


def _opened_again(file: Path, fingerprint: Fingerprint) -> ShardIndex:
    """An index that another process of this run has open."""
    try:
        index = load_index(file)
    except (OSError, ValueError) as error:
        raise _changed(file, str(error)) from error
    if index.fingerprint.sha256 != fingerprint.sha256:
        raise _changed(file, "the shard was replaced")
    return index


def _changed(file: Path, why: str) -> ShardError:
    return ShardError(
        f"the index changed while it was in use: {why}",
        where=str(file),
        fix="leave shards alone while they are in use, and start again",
    )
