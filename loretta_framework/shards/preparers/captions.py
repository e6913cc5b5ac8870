"""Tables of captions: rows with a file and what it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparers.tables import read_rows

_NAMES = ("captions.csv", "captions.tsv", "captions.jsonl")


def find_captions(folder: Path) -> Path | None:
    """The folder's table of captions, if it has one.

    Raises:
        ShardError: it has several.
    """
    found = [folder / name for name in _NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise ShardError(
            f"several tables of captions: {', '.join(path.name for path in found)}",
            where=str(folder),
            fix="say which one: --set captions=...",
        )
    return found[0] if found else None


def read_captions(path: Path, bad: LeftOut) -> Iterator[tuple[int, str, str]]:
    """(line, file, caption) of each row; rows that cannot be used go to `bad`.

    Raises:
        ShardError: the table cannot be read, or lacks a column.
    """
    rows = _lines(path, bad) if path.name.lower().endswith(".jsonl") else _table(path, bad)
    for line, file, caption in rows:
        if not all(isinstance(value, str) and value for value in (file, caption)):
            bad.add(f"{path.name} line {line}", "'file' and 'caption' must be texts")
        else:
            yield line, file, caption


def _table(path: Path, bad: LeftOut) -> Iterator[tuple[int, Any, Any]]:
    rows = read_rows(path)
    header = next(rows, (0, []))[1]
    if not {"file", "caption"} <= set(header):
        raise ShardError(
            f"a table of captions must have columns 'file' and 'caption', but has: "
            f"{', '.join(header)}",
            where=str(path),
            fix="rename its columns",
        )
    file, caption = header.index("file"), header.index("caption")
    for line, cells in rows:
        if len(cells) != len(header):
            text = f"it has {len(cells)} cells, but the header has {len(header)}"
            bad.add(f"{path.name} line {line}", text)
        else:
            yield line, cells[file], cells[caption]


def _lines(path: Path, bad: LeftOut) -> Iterator[tuple[int, Any, Any]]:
    for line, data in read_lines(path):
        if isinstance(data, str):
            bad.add(f"{path.name} line {line}", data)
        else:
            yield line, data.get("file"), data.get("caption")


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line number, object) of a file of JSON lines; for a line that is none, what is wrong.

    Empty lines are passed over.

    Raises:
        ShardError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, read_object(line)
    except OSError as error:
        raise ShardError(f"it cannot be read: {error}", where=str(path), fix="check it") from error


def read_object(line: bytes) -> dict[str, Any] | str:
    """The JSON object, or what is wrong with it."""
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return f"it is not JSON: {error}"
    return data if isinstance(data, dict) else f"it must be an object, but is {type(data).__name__}"


def _refuse(name: str) -> Any:
    raise ValueError(f"'{name}' is no JSON number")
