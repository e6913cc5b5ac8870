"""Reads tables of numbers: CSV, TSV (also gzipped) and Parquet, one cell after another checked.

Axes: N rows, F features.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import MissingDependencyError, ShardError
from loretta_framework.shards.preparers.left_out import LeftOut

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
"""Endings of the files that can be read."""

Row: TypeAlias = "tuple[int, list[str]]"
"""(line in the file, cells); a missing value is an empty cell."""

_EMPTY = frozenset({"", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True, slots=True)
class NumberTable:
    """Rows of numbers by id.

    Attributes:
        features: names of the columns.
        rows: id -> place in `values_NF`.
        values_NF: float64; NaN where the cell is empty.
    """

    features: tuple[str, ...]
    rows: dict[str, int]
    values_NF: NDArray[np.float64]


def stem(path: Path) -> str | None:
    """The file's name without the ending of a table, None when it is none."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table as text, the header first.

    Raises:
        ShardError: the file is no table, cannot be read, or is damaged.
        MissingDependencyError: it is Parquet, and pyarrow is absent.
    """
    name = path.name.lower()
    if stem(path) is None:
        raise ShardError(
            f"a table must end in {', '.join(SUFFIXES)}", where=str(path), fix="convert it"
        )
    try:
        yield from _parquet(path) if name.endswith(".parquet") else _separated(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ShardError(
            f"the table cannot be read: {error}",
            where=str(path),
            fix="check that the file is whole, and that it is UTF-8",
        ) from error


def _separated(path: Path) -> Iterator[Row]:
    name = path.name.lower()
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        delimiter = "\t" if ".tsv" in name[-7:] else ","
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]


def _parquet(path: Path) -> Iterator[Row]:
    """Lines are rows here, counted from 2 as in a text file with one header line."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "reading Parquet needs pyarrow, which is not installed",
            where=str(path),
            fix="pip install 'loretta-framework[parquet]'",
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        yield 1, [str(name) for name in file.schema_arrow.names]
        line = 2
        for batch in file.iter_batches(use_threads=False):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                yield line, ["" if cell is None else str(cell) for cell in cells]
                line += 1
    except (pyarrow.ArrowException, ValueError) as error:
        raise ShardError(
            f"the table cannot be read: {error}", where=str(path), fix="write the file again"
        ) from error


def read_numbers(path: Path, id_column: str | None, transpose: bool, bad: LeftOut) -> NumberTable:
    """A table of numbers; rows that cannot be used go to `bad`.

    Args:
        path: the file.
        id_column: column of the ids, None: the first one. Not with `transpose`.
        transpose: the file has a row for each feature and a column for each id.
        bad: collects rows with a wrong number of cells, without id, or with a cell that is neither
            empty nor a finite number.

    Raises:
        ShardError: the file cannot be read, has no header, or names an id or a feature twice.
    """
    rows = read_rows(path)
    header = next(rows, (0, []))[1]
    place = id_place(header, id_column, path)
    columns = [name for number, name in enumerate(header) if number != place]
    kept: list[NDArray[np.float64]] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        where = f"{path.name} line {line}"
        if len(cells) != len(header):
            bad.add(where, f"it has {len(cells)} cells, but the header has {len(header)}")
            continue
        name = cells.pop(place)
        if not name:
            bad.add(where, f"the {'feature' if transpose else 'id'} is empty")
            continue
        if name in lines:
            raise _twice(name, f"lines {abs(lines[name])} and {line}", path)
        lines[name] = line
        values = _numbers(cells, columns, f"{where}, '{name}'", bad)
        if values is not None:
            kept.append(values)
        else:
            lines[name] = -line  # known, but not kept
    names = [name for name, line in lines.items() if line > 0]
    _require_distinct(columns, path)
    values_NF = np.stack(kept) if kept else np.empty((0, len(columns)))
    if transpose:
        names, columns, values_NF = columns, names, np.ascontiguousarray(values_NF.T)
    return NumberTable(tuple(columns), {name: n for n, name in enumerate(names)}, values_NF)


def id_place(header: Sequence[str], id_column: str | None, path: Path) -> int:
    """Where the ids stand in a row.

    Raises:
        ShardError: the table has no header, or not that column.
    """
    if not header:
        raise ShardError("the table is empty", where=str(path), fix="leave it out")
    if id_column is None:
        return 0
    if id_column not in header:
        raise ShardError(
            f"there is no column '{id_column}'; the first ones are: {', '.join(header[:5])}",
            where=str(path),
            fix="correct --set id_column=...",
        )
    return header.index(id_column)


def _numbers(
    cells: Sequence[str], columns: Sequence[str], where: str, bad: LeftOut
) -> NDArray[np.float64] | None:
    values = np.empty(len(cells))
    for number, cell in enumerate(cells):
        value = number_of(cell)
        if value is None:
            bad.add(
                where, f"column '{columns[number]}' must hold a number, but holds '{cell[:40]}'"
            )
            return None
        values[number] = value
    return values


def number_of(cell: str) -> float | None:
    """The number, NaN for an empty cell, None for what is no finite number."""
    if cell.lower() in _EMPTY:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _require_distinct(columns: Sequence[str], path: Path) -> None:
    if len(set(columns)) == len(columns):
        return
    seen: dict[str, int] = {}
    for number, name in enumerate(columns, 1):
        if name in seen:
            raise _twice(name, f"columns {seen[name]} and {number}", path)
        seen[name] = number


def _twice(name: str, where: str, path: Path) -> ShardError:
    return ShardError(
        f"'{name}' occurs twice: {where}", where=str(path), fix="keep one of the two, or rename it"
    )
