"""Samples for each step, loaded ahead by worker processes; the same for any number of them.

The work is handed out by step number and every sample is a function of its position, so workers
share nothing and a run may start at any step. Only the parent writes.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from loretta_framework.api.errors import LorettaError, TrainingError
from loretta_framework.api.protocols import Source, Tokenizer
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder
from loretta_framework.data.order import Order, SetShare
from loretta_framework.data.quarantine import MAX_IN_A_ROW, Quarantine, too_many_in_a_row
from loretta_framework.data.sample import SetReader, open_sets
from loretta_framework.data.schedule import requests, share_of_rank
from loretta_framework.recipe.plan import Plan
from loretta_framework.sequence.rows import TokenizedSample

_SECONDS_AFTER_STOP = 60

StepSamples = dict[str, list[TokenizedSample]]


class Loader:
    """Feeds the training loop.

    Args:
        plan: the run; its training sets are opened here.
        modalities: name -> tokenizer, fitted.
        run_directory: where bad rows are written down; None: nowhere.
        workers: loading processes; 0 loads in this one.
        rank: this process among `world`; it gets its part of each request.
        world: number of processes.
        max_bad_fraction: part of the rows that may be undecodable.
        sources: built sources by "<split>/<set>".

    Raises:
        ShardError: a training set cannot be opened.
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
    ) -> None:
        readers = open_sets(plan.split("train"), sources)
        self.workers = workers
        decoder = Decoder(modalities, plan.vocabulary, augment_seed=plan.seed)
        self._steps = _StepData(plan, readers, decoder, rank, world)
        rows = sum(len(reader) for reader in readers)
        self.quarantine = Quarantine(run_directory, rows, max_bad_fraction)

    def steps(self, first: int, stop: int) -> Iterator[StepSamples]:
        """Task name -> samples, for each step of `range(first, stop)`.

        A task that is handed nothing at a step has no entry; one whose samples all went to other
        ranks has an empty list.

        Raises:
            ShardError: too many rows cannot be decoded, or a shard cannot be read.
            TrainingError: a worker process died.
        """
        loader = DataLoader(
            self._steps,
            batch_size=None,
            sampler=range(first, stop),
            num_workers=self.workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # its seed draw must not move torch's own generator
            worker_init_fn=_start_worker if self.workers else None,
        )
        batches = iter(loader)
        # An error's traceback keeps the iterator alive, and with it its workers, so they are ended
        # here; at exit too, before multiprocessing waits for them.
        end_workers = getattr(batches, "_shutdown_workers", _nothing_to_end)
        atexit.register(end_workers)
        try:
            yield from self._results(batches)
        finally:
            atexit.unregister(end_workers)
            end_workers()

    def _results(self, batches: Iterator[_StepResult]) -> Iterator[StepSamples]:
        while True:
            try:
                result = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                raise _explained(error) from error
            self.quarantine.add(result.bad)
            if result.error is not None:
                raise result.error
            yield result.samples


@dataclass(frozen=True, slots=True)
class _StepResult:
    """What a worker hands to the parent for one step.

    An error travels as data: DataLoader would make a traceback text of one that is raised.
    """

    samples: StepSamples
    bad: list[BadRow]
    error: LorettaError | None = None


class _StepData(Dataset[_StepResult]):
    """Step number -> samples. Runs in the workers."""

    def __init__(
        self, plan: Plan, readers: Sequence[SetReader], decoder: Decoder, rank: int, world: int
    ) -> None:
        self.plan, self.readers, self.decoder = plan, readers, decoder
        self.rank, self.world = rank, world
        sets = [
            SetShare(reader.plan.name, len(reader), reader.plan.share) for reader in self.readers
        ]
        self.orders = {task.name: Order(sets, plan.seed, task.name) for task in plan.tasks}

    def __getitem__(self, step: int) -> _StepResult:
        samples: StepSamples = {}
        bad: list[BadRow] = []
        try:
            for request in requests(self.plan, step):
                positions = share_of_rank(request, self.rank, self.world)
                name = request.task_name
                samples[name] = [self._draw(name, position, bad) for position in positions]
        except LorettaError as error:
            return _StepResult({}, bad, error)
        return _StepResult(samples, bad)

    def _draw(self, task: str, position: int, bad: list[BadRow]) -> TokenizedSample:
        """The sample at a position, or the first good one of its substitutes."""
        order = self.orders[task]
        chosen, row, _ = order.at(position)
        found = self._try(chosen, row, position, bad)
        if isinstance(found, TokenizedSample):
            return found
        for substitute in order.substitutes(position, MAX_IN_A_ROW - 1):
            found = self._try(chosen, int(substitute), position, bad)
            if isinstance(found, TokenizedSample):
                return found
        raise too_many_in_a_row(self.readers[chosen].plan.name, found)

    def _try(
        self, chosen: int, row: int, position: int, bad: list[BadRow]
    ) -> TokenizedSample | BadRow:
        # Not remembered: with augmentation a row may fail at one position and not at another, and
        # what one worker remembers the next one does not know.
        try:
            return self.decoder.sample(self.readers[chosen], row, position)
        except DecodeFailure as failure:
            bad.append(failure.row)
            return failure.row


def _unchanged(result: Any) -> Any:
    """The default would turn arrays into tensors."""
    return result


def _nothing_to_end() -> None:
    """Without worker processes."""


def _start_worker(_: int) -> None:
    # A stop request goes to the whole process group. The parent finishes its step and saves; it
    # cannot if its workers are gone, so they stay for a while. DataLoader gave each one thread.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_AFTER_STOP))


def _explained(error: RuntimeError) -> Exception:
    if "DataLoader worker" not in str(error) or "exited" not in str(error):
        return error
    return TrainingError(
        f"a loader process died: {error}",
        where="data.workers",
        fix="look for lack of memory, or set data.workers=0 to see the fault in this process",
    )
