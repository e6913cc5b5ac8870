"""Which rows can be decoded without an end of the process: tried in others, before a fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from loretta_framework.api.errors import LorettaError
from loretta_framework.data.decode import BadRow, Decoder
from loretta_framework.data.loading.supervision import MAX_DEATHS, context_of, supervised
from loretta_framework.data.loading.watch import Place, Watch
from loretta_framework.data.loading.workers import WorkerDied
from loretta_framework.data.sample import SetReader

_CHUNK = 16
_MOST_PROCESSES = 4

Rows = Sequence[tuple[SetReader, int]]


class _Trial:
    """Decodes rows for nothing; its steps are chunks of them. Survives fork and pickling."""

    def __init__(self, rows: Rows, decoder: Decoder, modality: str) -> None:
        self.rows, self.decoder, self.modality = rows, decoder, modality
        self.crashed: dict[int, BadRow] = {}
        self._watch = Watch()

    def watched(self, watch: Watch) -> None:
        """Note in `watch` what is being decoded."""
        self._watch = watch

    def packed(self, step: int) -> bytes:
        """Nothing. What is raised is left to those who want the values."""
        self._watch.step(step)
        for number in range(step * _CHUNK, min((step + 1) * _CHUNK, len(self.rows))):
            if number not in self.crashed:
                with suppress(Exception):
                    self._decode(number)
        return b""

    def _decode(self, number: int) -> None:
        reader, row = self.rows[number]
        raw = self.decoder.raw(reader, row, only=self.modality)
        # Watched from here on: a slow disk or network is no fault of the row.
        self._watch.begin(0, number)
        try:
            self.decoder.values(reader, row, raw)
        finally:
            self._watch.end()


def crashing_rows(
    rows: Rows,
    decoder: Decoder,
    modality: str,
    start_method: str,
    row_seconds: float,
    on_crash: Callable[[BadRow], None],
) -> dict[int, BadRow]:
    """Index in `rows` -> how its decoding ended the process, or that it never ended.

    Args:
        rows: to be tried.
        decoder: with the modality's tokenizer; it need not be fitted.
        modality: whose files are decoded.
        start_method: how processes start; "auto" is the platform's own.
        row_seconds: time to wait for the decoding of one row.
        on_crash: told of each such row at once.

    Raises:
        LorettaError: a process died, and no row is to blame.
    """
    trial = _Trial(rows, decoder, modality)
    context = context_of(start_method)

    def blame(place: Place, cause: str) -> None:
        reader, row = rows[place.row]
        shard, key = reader.place(row)
        trial.crashed[place.row] = BadRow(shard, key, modality, cause)
        on_crash(trial.crashed[place.row])

    def given_up(died: WorkerDied) -> LorettaError:
        return LorettaError(
            f"a process that reads values to fit a tokenizer on died {MAX_DEATHS} times; the last "
            f"time {died.cause}",
            where=f"modalities.{modality}",
            fix="look for lack of memory; `loretta data lint` finds files that end a process",
        )

    steps = range(-(-len(rows) // _CHUNK))
    workers = max(1, min(_MOST_PROCESSES, os.cpu_count() or 1, len(steps)))
    with closing(
        supervised(trial, steps, workers, context, row_seconds, blame, given_up)
    ) as results:
        for _ in results:
            pass
    return trial.crashed
