"""Whole tables in and out: one row for each sample, its id in the first column."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from loretta_framework.api.atomic import write_bytes_atomically
from loretta_plugin_omics.cells import number, profile_of, read_cells
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.sheets import shortest

Quantity = Literal["values", "lower", "upper"]

MAX_BYTES = 1 << 30
"""Of a table that `read_table` reads, unless it is told otherwise."""


def read_table(path: Path | str, max_bytes: int = MAX_BYTES) -> dict[str, dict[str, float | None]]:
    """{id: {feature: number, None where missing}} of a .csv or .tsv, also .gz.

    Each row is what `model.generate({"mirna": row}, ...)` takes.

    Args:
        path: the table, UTF-8.
        max_bytes: larger tables are refused; of a .gz, before they are unpacked as a whole.

    Raises:
        ValueError: it is damaged, too large or no such table, or an id or a feature occurs twice.
        OSError: the file cannot be read.
    """
    path = Path(path)
    data = _unpacked(path, max_bytes)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} line {line}: it must be UTF-8: {error}") from error
    dialect = "excel-tab" if path.name.lower().endswith((".tsv", ".tsv.gz")) else "excel"
    lines = csv.reader(io.StringIO(text, newline=""), dialect)
    try:
        return _table(lines)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} line {max(lines.line_num, 1)}: {error}") from error


def _unpacked(path: Path, max_bytes: int) -> bytes:
    """A file's bytes, unpacked when it is a .gz. Raises as `read_table`."""
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: it must be a whole gzip file, but: {error}") from error
    if len(data) > max_bytes:
        raise ValueError(
            f"{path}: a table must have at most {max_bytes} bytes, but has more;"
            " raise max_bytes, or split the table"
        )
    return data


def _table(lines: Iterator[list[str]]) -> dict[str, dict[str, float | None]]:
    _, *features = next(lines, [""])
    if not features or len(set(features)) < len(features) or "" in features:
        raise ValueError("the header must hold an id column and named features, each once")
    found: dict[str, dict[str, float | None]] = {}
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(features) + 1 or cells[0] in found:
            raise ValueError(f"it must have a new id and {len(features)} cells")
        numbers = [number(feature, cell) for feature, cell in zip(features, cells[1:], strict=True)]
        kept = (None if math.isnan(value) else value for value in numbers)
        found[cells[0]] = dict(zip(features, kept, strict=True))
    return found


def write_table(
    path: Path | str, profiles: Mapping[str, Profile], quantity: Quantity = "values"
) -> None:
    """A CSV with one row for each profile, replacing the file. Missing features are empty cells.

    Raises:
        ValueError: there is no profile, or they do not have the same features.
        OSError: the file cannot be written.
    """
    if not profiles:
        raise ValueError("there must be at least one profile for a table")
    names = next(iter(profiles.values())).names
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["id", *names])
    for key, profile in profiles.items():
        if profile.names != names:
            raise ValueError(f"{key!r} must have the same features as the first profile")
        lines.writerow([key, *(shortest(value) for value in getattr(profile, quantity))])
    write_bytes_atomically(Path(path), text.getvalue().encode())


def read_profile(path: Path | str) -> Profile:
    """A CSV, TSV or JSON of one sample, such as generation writes, with the features that it names.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        cells = read_cells(data, path.suffix.removeprefix(".").lower())
        return profile_of(cells, tuple(cells.values))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
