"""Counts rows that cannot be used, writes them down, and stops the run when they are too many."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from loretta_framework.api.errors import ShardError
from loretta_framework.data.decode import BadRow

FILE = "quarantine.jsonl"

TOLERATED = 2
"""Bad rows that never stop a run: a fraction means little in a small data set."""

MAX_IN_A_ROW = 100
"""Bad rows one after another that stop a run whatever the fraction."""


class Quarantine:
    """The bad rows of a run, each once. A run that is resumed goes on counting.

    Args:
        run_directory: where `quarantine.jsonl` is appended to; None counts only.
        rows: rows of all training sets together.
        max_bad_fraction: distinct bad rows, as a part of `rows`, above which the run stops.
    """

    def __init__(self, run_directory: Path | None, rows: int, max_bad_fraction: float) -> None:
        self.path = run_directory / FILE if run_directory is not None else None
        self.rows, self.max_bad_fraction = rows, max_bad_fraction
        self._known: set[tuple[str, str]] = set()
        if self.path is not None and self.path.exists():
            self._known = {_identity(line) for line in self.path.read_text().splitlines() if line}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, bad: Iterable[BadRow]) -> None:
        """Count and write rows that are new.

        Raises:
            ShardError: there are now more than the fraction allows.
        """
        for row in bad:
            if (row.shard, row.key) in self._known:
                continue
            self._known.add((row.shard, row.key))
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
            if len(self) > max(TOLERATED, self.max_bad_fraction * self.rows):
                raise ShardError(
                    f"{len(self)} of {self.rows} rows cannot be used, more than "
                    f"data.max_bad_fraction {self.max_bad_fraction:g} allows; the last: {row}",
                    where=str(self.path or ""),
                    fix="mend or remove the rows listed there, or raise data.max_bad_fraction",
                )


def too_many_in_a_row(set_name: str, last: BadRow) -> ShardError:
    """The error for `MAX_IN_A_ROW` bad rows one after another."""
    return ShardError(
        f"{MAX_IN_A_ROW} rows in a row cannot be used; the last: {last}",
        where=f"data set '{set_name}'",
        fix="check that the set's modalities match their kinds in the recipe",
    )


def _identity(line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        return row["shard"], row["key"]
    except (ValueError, KeyError, TypeError):
        return line, ""  # a line cut by a kill: it still stands for one bad row
