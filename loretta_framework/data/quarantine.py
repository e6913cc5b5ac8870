"""Counts rows that cannot be used, writes them down, and stops the run when they are too many."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.data.decode import BadRow

FILE = "quarantine.jsonl"

TOLERATED = 2
"""Bad rows that stop no run which tolerates any: a fraction means little in a small data set."""

MAX_IN_A_ROW = 100
"""Bad rows one after another that stop a run whatever the fraction."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A row whose decoding took a loader process down, or never ended: it is not tried again.

    Attributes:
        set_name: the set.
        row: its row.
        step: first step that does without it; those before were drawn with it.
        bad: for people.
    """

    set_name: str
    row: int
    step: int
    bad: BadRow


class Quarantine:
    """The bad rows of a run, each once. A run that is resumed goes on counting.

    Its ranks append to one file, and each reads there what the others found before it judges.

    Args:
        run_directory: where `quarantine.jsonl` is appended to; None counts only.
        rows: rows of all training sets together.
        max_bad_fraction: distinct bad rows, as a part of `rows`, above which the run stops; with
            0 the first one stops it, else `TOLERATED` are let through in any set.
    """

    def __init__(self, run_directory: Path | None, rows: int, max_bad_fraction: float) -> None:
        self.path = run_directory / FILE if run_directory is not None else None
        self.rows, self.max_bad_fraction = rows, max_bad_fraction
        self._known: set[tuple[str, str]] = set()
        self._crashes: dict[tuple[str, int], Crash] = {}
        self._limit = max(TOLERATED, max_bad_fraction * rows) if max_bad_fraction else 0
        self._end = 0  # of what was read of the file
        self._catch_up()
        # Once: later a line that is not complete is one that another rank is writing.
        self._cut = self.path is not None and self.path.exists() and self._is_cut()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """Rows that are not to be decoded again."""
        return tuple(self._crashes.values())

    def add(self, bad: Iterable[BadRow]) -> None:
        """Count rows, and write those that are new.

        Raises:
            ShardError: there are now more than the fraction allows.
        """
        for row in bad:
            if not self.holds(row.shard, row.key):
                self._catch_up()
                if not self.holds(row.shard, row.key):
                    self._write(asdict(row))
            # Also one that was known: a run that was stopped for it is not let on by --resume.
            self._judge(row)

    def add_crash(self, crash: Crash) -> None:
        """Count and write a row that must not be decoded again.

        Raises:
            ShardError: there are now more bad rows than the fraction allows.
        """
        self._keep(crash)
        place = {"set": crash.set_name, "row": crash.row, "step": crash.step}
        self._write(asdict(crash.bad) | place)
        self._judge(crash.bad)

    def holds(self, shard: str, key: str) -> bool:
        """Whether the row is known to be bad."""
        return (shard, key) in self._known

    def _judge(self, row: BadRow) -> None:
        if self.path is None:
            self._known.add((row.shard, row.key))
        # What is written before it is read is seen by the last of several ranks at least.
        self._catch_up()
        if len(self) > self._limit:
            raise ShardError(
                f"{len(self)} of {self.rows} rows cannot be used, more than "
                f"data.max_bad_fraction {self.max_bad_fraction:g} allows; the last: {row}",
                where=str(self.path or ""),
                fix="mend or remove the rows listed there and delete the list, or raise "
                "data.max_bad_fraction",
            )

    def _write(self, record: dict[str, Any]) -> None:
        if self.path is None:
            return
        line = json.dumps(record).encode() + b"\n"
        if self._cut and self._is_cut():
            line = b"\n" + line  # else a line that a kill cut short would swallow this one
        self._cut = False
        with self.path.open("ab", buffering=0) as file:
            file.write(line)  # at once and at the end, so that the lines of ranks do not mix

    def _is_cut(self) -> bool:
        """Whether the file ends within a line."""
        assert self.path is not None
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            return file.read(1) not in (b"", b"\n")

    def _catch_up(self) -> None:
        """Read the lines that were added since; one that is not complete is left for later."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._end)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._end += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if line:
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            record = json.loads(line)
            bad = BadRow(*(record[name] for name in ("shard", "key", "modality", "cause")))
        except (ValueError, KeyError, TypeError):
            self._known.add((line, ""))  # a line cut by a kill: it still stands for one bad row
            return
        self._known.add((bad.shard, bad.key))
        if "row" in record:
            self._keep(Crash(record["set"], record["row"], record["step"], bad))

    def _keep(self, crash: Crash) -> None:
        found = self._crashes.get((crash.set_name, crash.row))
        if found is None or crash.step < found.step:
            self._crashes[crash.set_name, crash.row] = crash


def too_many_in_a_row(set_name: str, last: BadRow) -> ShardError:
    """The error for `MAX_IN_A_ROW` bad rows one after another."""
    return ShardError(
        f"{MAX_IN_A_ROW} rows in a row cannot be used; the last: {last}",
        where=f"data set '{set_name}'",
        fix="check that the set's modalities match their kinds in the recipe",
    )
