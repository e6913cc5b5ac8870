"""CSV and TSV: a header of channel names, one row a step, an optional time column.

A first line `# rate: 100` tells the rate of even steps, in hertz. S: steps, C: channels.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from loretta_framework.api import FloatArray
from loretta_plugin_signals.recording import Recording, refuse_steps, with_rate
from loretta_plugin_signals.settings import SeriesSettings

MISSING = {"", "nan", "na", "n/a", "null", "none"}
RATE_LINE = "# rate:"


def write_table(value_SC: FloatArray, settings: SeriesSettings) -> bytes:
    """A value as CSV that `read_table` takes back without loss."""
    rate = settings.rate or 1.0
    lines = [f"{RATE_LINE} {rate!r}"] if settings.source_rate and not settings.time else []
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*([settings.time] if settings.time else []), *settings.names])
    for number, row_C in enumerate(value_SC):
        time = [repr(number / rate)] if settings.time else []
        writer.writerow([*time, *(f"{cell:.9g}" for cell in row_C)])
    return "\n".join([*lines, file.getvalue()]).encode()


def read_table(data: bytes, delimiter: str, settings: SeriesSettings) -> Recording:
    """The recording that a table holds.

    Raises:
        ValueError: it has too many rows, no such columns, or cells that are no numbers.
    """
    text = data.decode("utf-8-sig").rstrip()
    rate = None
    if text.startswith(RATE_LINE):
        line, _, text = text.partition("\n")
        rate = _cell(line.removeprefix(RATE_LINE), 0)
    refuse_steps(text.count("\n"), settings)  # one line may be the header
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ValueError(f"the table cannot be read: {error}") from error
    if not rows:
        raise ValueError("the table must hold at least one row, but is empty")
    header = [cell.strip() for cell in rows[0]]
    if all(_is_number(cell) for cell in header):
        names, body = _names_without_header(len(header), settings), rows
    else:
        names, body = header, rows[1:]
    wanted = [*settings.names, *([settings.time] if settings.time else [])]
    picked = _places(names, wanted, settings)
    refuse_steps(len(body), settings)
    table = np.array([_row(row, number, len(names), picked) for number, row in enumerate(body, 1)])
    table = table.reshape(len(body), len(picked))
    count = len(settings.names)
    recording = Recording(table[:, :count], table[:, count] if settings.time else None)
    return recording if rate is None else with_rate(recording, rate, settings)


def _names_without_header(width: int, settings: SeriesSettings) -> list[str]:
    if settings.named or settings.time:
        raise ValueError("the table must have a header: channels or the time column have names")
    return [f"c{number}" for number in range(width)]


def _places(names: list[str], wanted: list[str], settings: SeriesSettings) -> list[int]:
    """Where the wanted columns stand. Channels without names are all columns, in order."""
    if len(set(names)) != len(names):
        raise ValueError(f"column names must differ, but are {names}")
    if settings.time and settings.time not in names:
        raise ValueError(f"there must be a time column {settings.time!r}, but there are {names}")
    if not settings.named:
        places = [place for place, name in enumerate(names) if name != settings.time]
        if len(places) != len(settings.names):
            raise ValueError(f"there must be {len(settings.names)} channels, but are {len(places)}")
        return places + ([names.index(settings.time)] if settings.time else [])
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"columns {missing} are missing; there are {names}")
    return [names.index(name) for name in wanted]


def _row(row: list[str], number: int, width: int, picked: list[int]) -> list[float]:
    if len(row) != width:
        raise ValueError(f"row {number} must have {width} cells, but has {len(row)}")
    return [_cell(row[place], number) for place in picked]


def _is_number(cell: str) -> bool:
    try:
        _cell(cell, 0)
    except ValueError:
        return False
    return True


def _cell(cell: str, row: int) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        return float("nan")
    if "_" in text:  # float() takes 1_0 for 10
        raise ValueError(f"row {row}: cells must be numbers, but one is {text[:40]!r}")
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"row {row}: cells must be numbers, but one is {text[:40]!r}") from error
