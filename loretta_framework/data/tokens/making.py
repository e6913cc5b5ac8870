"""Token shards made in child processes: a decoder that crashes or hangs costs a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict

from loretta_framework.api.errors import LorettaError
from loretta_framework.data.decode import BadRow
from loretta_framework.data.loading.supervision import MAX_DEATHS, context_of, supervised
from loretta_framework.data.loading.travelling_errors import from_json, to_json
from loretta_framework.data.loading.watch import Place, Watch
from loretta_framework.data.loading.workers import WorkerDied
from loretta_framework.data.tokens.manifest import TokenShard
from loretta_framework.data.tokens.shards import Job, ShardMaker, finished


class Making:
    """The work of the processes; its steps are the numbers of jobs. Survives fork and pickling."""

    def __init__(self, maker: ShardMaker, jobs: Sequence[Job]) -> None:
        self.maker, self.jobs = maker, jobs
        self._watch = Watch()
        self._crashed: dict[tuple[int, int], str] = {}

    def watched(self, watch: Watch) -> None:
        """Note in `watch` what is being decoded."""
        self._watch = watch

    def leave_out(self, place: Place, cause: str) -> None:
        """A row that is a bad one from now on, and is not decoded."""
        self._crashed[place.chosen, place.row] = cause

    def packed(self, step: int) -> bytes:
        """The token shard of a job, or why there is none."""
        self._watch.step(step)
        try:
            return json.dumps({"shard": asdict(self._shard(self.jobs[step]))}).encode()
        except Exception as error:
            return json.dumps({"error": to_json(error)}).encode()

    def _shard(self, job: Job) -> TokenShard:
        # After a crash its neighbours start again too; what one of them had finished is kept.
        kept = finished(job) if self._crashed else None
        return kept or self.maker.make(job, self._watch, self._crashed)


def make_shards(
    maker: ShardMaker,
    jobs: Sequence[Job],
    workers: int,
    start_method: str,
    row_seconds: float,
    on_crash: Callable[[BadRow], None],
) -> Generator[TokenShard, None, None]:
    """The token shards of jobs, in their order.

    Args:
        maker: makes them.
        jobs: what to make.
        workers: processes.
        start_method: how they start; "auto" is the platform's own for one, and "spawn" for several.
        row_seconds: time to wait for the decoding of one row.
        on_crash: told of each row that is left out because it crashed or hung.

    Raises:
        LorettaError: a process died, and no row is to blame.
    """
    if not jobs:
        return
    making = Making(maker, jobs)
    workers = min(workers, len(jobs))
    context = context_of("spawn" if start_method == "auto" and workers > 1 else start_method)

    def blame(place: Place, cause: str) -> None:
        making.leave_out(place, cause)
        shard, key = maker.readers[place.chosen].place(place.row)
        on_crash(BadRow(shard, key, "", cause))

    steps = range(len(jobs))
    data = supervised(making, steps, workers, context, row_seconds, blame, _given_up)
    with closing(data) as results:
        for packed in results:
            answer = json.loads(packed)
            if "error" in answer:
                raise from_json(answer["error"])
            yield TokenShard.from_json(answer["shard"])


def _given_up(died: WorkerDied) -> LorettaError:
    return LorettaError(
        f"a process that makes tokens died {MAX_DEATHS} times; the last time {died.cause}",
        where="--workers",
        fix="look for lack of memory, or use fewer --workers; finished shards are kept",
    )
