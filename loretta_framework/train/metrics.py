"""`metrics.jsonl`: one JSON object per step, in full precision, the same after any restart."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from loretta_framework.api.errors import RunDirectoryError


class MetricsWriter:
    """Appends metrics to a file, one flushed line per call.

    Args:
        path: the file; made when missing, continued when there.

    Raises:
        RunDirectoryError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()

    def write(self, metrics: Mapping[str, float]) -> None:
        """Append one line.

        Floats keep every digit. NaN and infinities, which JSON lacks, become null and their names
        stand in "nonfinite".

        Args:
            metrics: "step" (finished steps, integral) and whatever was measured.
        """
        self._file.write(json.dumps(_line(metrics), allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring all lines to disk; a checkpoint must not outlive the metrics of its steps."""
        os.fsync(self._file.fileno())

    def truncate_after(self, step: int) -> None:
        """Drop the lines of later steps, and a last line that a kill cut short.

        One truncation, so a kill leaves the old file or the new one.

        Args:
            step: last step to keep: that of the checkpoint from which the run goes on.

        Raises:
            RunDirectoryError: a line before is not one that `write` made.
        """
        self._file.close()
        end = self._end_of(step)
        with open(self.path, "r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
        self._file = self._open()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> TextIO:
        try:
            return open(self.path, "a", encoding="utf-8")
        except OSError as error:
            raise RunDirectoryError(
                f"the metrics cannot be written: {error.strerror}",
                where=str(self.path),
                fix="make the run directory writable",
            ) from error

    def _end_of(self, step: int) -> int:
        """Bytes up to the first line of a later step."""
        end = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n") or self._step(line, number) > step:
                    break
                end += len(line)
        return end

    def _step(self, line: bytes, number: int) -> int:
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                "the line must be a JSON object with a step",
                where=f"{self.path}:{number}",
                fix="remove the line, or restore the file from a copy",
            ) from error


def _line(metrics: Mapping[str, float]) -> dict[str, Any]:
    line: dict[str, Any] = {"step": int(metrics["step"])}
    lost = []
    for name, value in metrics.items():
        if name == "step":
            continue
        if math.isfinite(value):
            line[name] = value
        else:
            line[name] = None
            lost.append(name)
    return {**line, "nonfinite": lost} if lost else line
