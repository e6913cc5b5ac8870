"""Cells: from file bytes to text by feature name, and from text to numbers. Axes: F features."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loretta_plugin_omics.profile import Profile

TOO_LARGE = 3.4028235677973366e38
"""Where float32 becomes infinite: halfway from its largest number to the next power of two."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MISSING = ("", "na", "nan")
_LONG = (["feature", "value"], ["feature", "value", "lower", "upper"])


@dataclass(frozen=True, slots=True)
class Cells:
    """What a file says, by feature name: numbers, text, or None. Empty intervals: not stated."""

    values: Mapping[str, Any]
    lower: Mapping[str, Any] = field(default_factory=dict)
    upper: Mapping[str, Any] = field(default_factory=dict)


def read_cells(data: bytes, extension: str) -> Cells:
    """Cells of a JSON object, of a header and one row, or of what `write` makes (one row a feature).

    Raises:
        ValueError: the bytes have none of these forms, or name a feature twice.
    """
    if extension == "json":
        return Cells(_json_object(data))
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        rows = [
            row for row in csv.reader(text, "excel-tab" if extension == "tsv" else "excel") if row
        ]
    except csv.Error as error:
        raise ValueError(f"the table cannot be read: {error}") from error
    if rows and rows[0] in _LONG:
        return _long(rows[0], rows[1:])
    if len(rows) != 2:
        raise ValueError(f"there must be a header and one row, but there are {len(rows)} lines")
    header, cells = rows
    _same_number(header, cells, "the row")
    return Cells(_once(zip(header, cells, strict=True)))


def _long(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Cells:
    for number, row in enumerate(rows, start=2):
        _same_number(header, row, f"line {number}")
    columns = [_once((row[0], row[index]) for row in rows) for index in range(1, len(header))]
    return Cells(*columns)


def _same_number(header: Sequence[str], cells: Sequence[str], where: str) -> None:
    if len(cells) != len(header):
        raise ValueError(
            f"{where} must have {len(header)} cells, as the header, but has {len(cells)}"
        )


def _json_object(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(found, dict):
        text = f"but is a {type(found).__name__}"
        raise ValueError(f"the JSON must be an object {{feature: number}}, {text}")
    return found


def _once(pairs: Any) -> dict[str, Any]:
    """A dict of pairs. Raises `ValueError` when a name is empty or occurs twice."""
    found: dict[str, Any] = {}
    for name, cell in pairs:
        if not name:
            raise ValueError("feature names must not be empty")
        if name in found:
            raise ValueError(f"feature {name!r} occurs twice")
        found[name] = cell
    return found


def number(name: str, cell: Any) -> float:
    """A cell as a number: NaN when it is empty, None, NA or nan.

    Raises:
        ValueError: it is no finite number that float32 can hold.
    """
    if cell is None or (isinstance(cell, str) and cell.strip().casefold() in _MISSING):
        return math.nan
    if isinstance(cell, str) and not _NUMBER.fullmatch(cell.strip()):
        raise ValueError(f"feature {name!r} must be a number, but is {cell[:40]!r}")
    try:
        found = float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        text = f"but is a {type(cell).__name__}"
        raise ValueError(f"feature {name!r} must be a number that float32 holds, {text}") from error
    if abs(found) >= TOO_LARGE:
        raise ValueError(f"feature {name!r} must be finite and fit float32, but is {found:g}")
    return found


def profile_of(cells: Cells, names: tuple[str, ...]) -> Profile:
    """The profile of these features. Raises `ValueError` when one of them is no number.

    An interval that is not stated is the value itself.
    """
    values_F, *ends_2F = (
        np.array([number(name, column.get(name)) for name in names], dtype=np.float32)
        for column in (cells.values, cells.lower, cells.upper)
    )
    return Profile(
        names, values_F, *(np.where(np.isnan(end_F), values_F, end_F) for end_F in ends_2F)
    )
