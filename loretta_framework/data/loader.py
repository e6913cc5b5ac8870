"""Samples for each step, loaded ahead by worker processes; the same for any number of them.

The work is handed out by step number and every sample is a function of its position, so workers
share nothing, a run may start at any step, and workers that died are started again at the first
step that was not delivered. Only the parent writes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from loretta_framework.api.errors import TrainingError
from loretta_framework.api.protocols import Source, Tokenizer
from loretta_framework.data.decode import BadRow, Decoder, byte_limits
from loretta_framework.data.loading.bad_runs import BadRuns
from loretta_framework.data.loading.draws import open_draws
from loretta_framework.data.loading.steps import StepDraws
from loretta_framework.data.loading.supervision import (
    MAX_DEATHS,
    ROW_SECONDS,
    context_of,
    supervised,
)
from loretta_framework.data.loading.transport import StepResult, StepSamples, unpack
from loretta_framework.data.loading.watch import Place
from loretta_framework.data.loading.workers import WorkerDied
from loretta_framework.data.quarantine import Crash, Quarantine
from loretta_framework.data.sample import open_sets
from loretta_framework.recipe.plan import Plan


class Loader:
    """Feeds the training loop.

    Args:
        plan: the run; its training sets are opened here.
        modalities: name -> tokenizer, fitted.
        run_directory: where bad rows are written down; None: nowhere.
        workers: loading processes; 0 loads in this one, which then shares a decoder's crash.
        rank: this process among `world`; it gets its part of each request.
        world: number of processes.
        max_bad_fraction: part of the rows that may be undecodable.
        sources: built sources by "<split>/<set>".
        tokens: a folder made by `loretta data tokenize`, read instead of the raw files.
        start_method: "fork", "spawn" or "forkserver"; "auto": the platform's own.
        row_seconds: time to wait for the decoding of one row before it counts as one that hangs.

    Raises:
        ShardError: a training set or the token cache cannot be opened.
    """

    def __init__(
        self,
        plan: Plan,
        modalities: Mapping[str, Tokenizer],
        run_directory: Path | None,
        workers: int,
        rank: int = 0,
        world: int = 1,
        max_bad_fraction: float = 0.001,
        sources: Mapping[str, Source] | None = None,
        tokens: Path | None = None,
        start_method: str = "auto",
        row_seconds: float = ROW_SECONDS,
    ) -> None:
        self.readers = open_sets(plan.split("train"), sources)
        self.workers, self.row_seconds = workers, row_seconds
        self._context = context_of(start_method)
        decoder = Decoder(modalities, plan.vocabulary, plan.seed, byte_limits(plan))
        draws = open_draws(plan, self.readers, decoder, tokens)
        self._draws = StepDraws(plan, self.readers, draws, rank, world)
        rows = sum(len(reader) for reader in self.readers)
        self.quarantine = Quarantine(run_directory, rows, max_bad_fraction)
        self._runs = BadRuns(self._draws, self.readers, self.quarantine)
        self._draws.leave_out(crash for crash in self.quarantine.crashes if self._is_there(crash))

    def steps(self, first: int, stop: int) -> Iterator[StepSamples]:
        """Task name -> samples, for each step of `range(first, stop)`.

        A task that is handed nothing at a step has no entry; one whose samples all went to other
        ranks has an empty list.

        Raises:
            ShardError: too many rows cannot be decoded, or a shard cannot be read.
            TrainingError: worker processes die again and again.
        """
        load = self._from_workers if self.workers else self._from_here
        # An error's traceback keeps generators alive, and with them the workers: end them here.
        with closing(load(first, stop)) as results:
            for result in results:
                self.quarantine.add(result.bad)
                if result.error is not None:
                    raise result.error
                self._runs.add(result)
                yield result.samples

    def _from_here(self, first: int, stop: int) -> Generator[StepResult, None, None]:
        yield from (self._draws.result(step) for step in range(first, stop))

    def _from_workers(self, first: int, stop: int) -> Generator[StepResult, None, None]:
        data = supervised(
            self._draws,
            range(first, stop),
            self.workers,
            self._context,
            self.row_seconds,
            self._blame,
            _given_up,
        )
        with closing(data) as results:
            for packed in results:
                yield unpack(packed)

    def _blame(self, place: Place, cause: str) -> None:
        reader = self.readers[place.chosen]
        bad = BadRow(*reader.place(place.row), modality="", cause=cause)
        crash = Crash(reader.plan.name, place.row, place.step, bad)
        self._draws.leave_out([crash])
        self.quarantine.add_crash(crash)

    def _is_there(self, crash: Crash) -> bool:
        """Whether the row is still the sample that crashed; a mended set may have others."""
        for reader in self.readers:
            if reader.plan.name == crash.set_name and crash.row < len(reader):
                return reader.place(crash.row)[1] == crash.bad.key
        return False


def _given_up(died: WorkerDied) -> TrainingError:
    return TrainingError(
        f"a loader process died {MAX_DEATHS} times before a step was delivered; the last time "
        f"{died.cause}",
        where="data.workers",
        fix="look for lack of memory (fewer workers or a smaller batch need less), or set "
        "data.workers=0 to see the fault in this process",
    )
