"""What both kinds of table files have in common: opened by each process for itself, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from loretta_framework.api.errors import ShardError


class TableFile:
    """One file of rows in groups. Survives fork and pickling.

    Args:
        path: the file.
        labels: column -> names of its classes, for columns that hold class numbers.

    Attributes:
        resident: whether a column that was read takes memory of its own (a mapped one does not).
    """

    resident = True

    def __init__(self, path: Path, labels: Mapping[str, Sequence[str]] | None = None) -> None:
        self.path = path
        self.labels = dict(labels or {})
        self.status = self._status()
        self._handle: Any = None
        self._process = 0

    def group_rows(self) -> list[int]:
        """Rows of each group, in order. Raises `ShardError` when the file cannot be read."""
        with self._faults():
            return self._group_rows(self._opened())

    def column(self, group: int, name: str) -> pa.ChunkedArray:
        """A column of one group.

        Raises:
            ShardError: the file cannot be read, was changed, or has no such column.
        """
        with self._faults():
            handle = self._opened()
            known = self._schema(handle).names
            if known.count(name) != 1:
                close = get_close_matches(name, known, n=1)
                near = f" (did you mean '{close[0]}'?)" if close else ""
                raise ShardError(
                    f"the table must have one column '{name}'{near}, but has: {', '.join(known)}",
                    where=str(self.path),
                    fix="correct the settings of the set's `source`",
                )
            column = self._column(handle, group, name)
            expected = self._group_rows(handle)[group]
            if len(column) != expected:
                raise ValueError(f"group {group} has {len(column)} of {expected} rows")
            return column

    def _open(self) -> Any:
        raise NotImplementedError

    def _schema(self, handle: Any) -> pa.Schema:
        raise NotImplementedError

    def _group_rows(self, handle: Any) -> list[int]:
        raise NotImplementedError

    def _column(self, handle: Any, group: int, name: str) -> pa.ChunkedArray:
        raise NotImplementedError

    def _opened(self) -> Any:
        if self._handle is None or self._process != os.getpid():
            if self._status() != self.status:
                raise ShardError(
                    "the file was changed while it was in use",
                    where=str(self.path),
                    fix="start again",
                )
            self._handle, self._process = self._open(), os.getpid()
        return self._handle

    def _status(self) -> tuple[int, int]:
        with self._faults():
            status = self.path.stat()
            return status.st_size, status.st_mtime_ns

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ShardError(
                f"the table cannot be read: {error}",
                where=str(self.path),
                fix="check that the file is whole, or write it again",
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}
