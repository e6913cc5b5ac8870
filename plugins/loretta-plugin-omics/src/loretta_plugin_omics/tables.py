"""Whole tables in and out: one row for each sample, its id in the first column."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from loretta_framework.api.atomic import write_bytes_atomically
from loretta_plugin_omics.cells import number, profile_of, read_cells
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.sheets import shortest

Quantity = Literal["values", "lower", "upper"]


def read_table(path: Path | str) -> dict[str, dict[str, float | None]]:
    """{id: {feature: number, None where missing}} of a .csv or .tsv, also .gz.

    Each row is what `model.generate({"mirna": row}, ...)` takes.

    Raises:
        ValueError: it is no such table, or an id or a feature occurs twice.
        OSError: the file cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    name = path.name.lower()
    if name.endswith(".gz"):
        data, name = gzip.decompress(data), name.removesuffix(".gz")
    lines = csv.reader(
        io.StringIO(data.decode("utf-8-sig"), newline=""),
        "excel-tab" if name.endswith(".tsv") else "excel",
    )
    _, *features = next(lines, [""])
    if not features or len(set(features)) < len(features):
        raise ValueError(f"{path}: the header must hold an id column and features, each once")
    found: dict[str, dict[str, float | None]] = {}
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(features) + 1 or cells[0] in found:
            text = f"a new id and {len(features)} cells"
            raise ValueError(f"{path} line {lines.line_num}: it must have {text}")
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
    cells = read_cells(path.read_bytes(), path.suffix.removeprefix(".").lower())
    return profile_of(cells, tuple(cells.values))
