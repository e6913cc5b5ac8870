"""Facts about patients: a table of texts and numbers, one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import ShardError, nearest
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparers.tables import id_place, number_of, read_rows


@dataclass(slots=True)
class Clinic:
    """What the table says.

    Attributes:
        facts: patient -> column -> value; empty cells are left out.
        labels: patient -> class.
        splits: patient -> set.
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)


def read_clinic(
    path: Path,
    id_column: str | None,
    label_column: str | None,
    split_column: str | None,
    bad: LeftOut,
) -> Clinic:
    """Read the table; rows that cannot be used go to `bad`.

    Raises:
        ShardError: the table cannot be read, lacks a column, or names a patient twice.
    """
    clinic, lines = Clinic(), dict[str, int]()
    rows = read_rows(path)
    header = next(rows, (0, []))[1]
    id_name = header[id_place(header, id_column, path)]
    for column in filter(None, (label_column, split_column)):
        if column not in header:
            raise ShardError(
                f"there is no column '{column}'{nearest(column, header)}",
                where=str(path),
                fix=f"its columns are: {', '.join(header)}",
            )
    for line, cells in rows:
        where = f"{path.name} line {line}"
        if len(cells) != len(header):
            bad.add(where, f"it has {len(cells)} cells, but the header has {len(header)}")
            continue
        row = dict(zip(header, cells, strict=True))
        patient = row.pop(id_name)
        if not patient:
            bad.add(where, "the id is empty")
            continue
        if patient in lines:
            raise ShardError(
                f"'{patient}' occurs twice: lines {lines[patient]} and {line}",
                where=str(path),
                fix="keep one of the two",
            )
        lines[patient] = line
        if label_column and row[label_column]:
            clinic.labels[patient] = row[label_column]
        if split_column:
            clinic.splits[patient] = row[split_column]
        clinic.facts[patient] = {name: _scalar(cell) for name, cell in row.items() if cell}
    return clinic


def _scalar(cell: str) -> Any:
    """A number only where its text can be had back: "007" stays a text."""
    value = number_of(cell)
    if value is None or value != value:
        return cell
    whole = cell.lstrip("-").isdecimal() and cell.isascii()
    number: int | float = int(cell) if whole else value
    return number if str(number) == cell else cell
