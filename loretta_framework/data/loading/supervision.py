"""Work that goes on when a decoder takes its process down or hangs: the row is blamed, and left out."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable, Generator
from multiprocessing.context import BaseContext

from loretta_framework.api.errors import LorettaError
from loretta_framework.data.loading.watch import Place
from loretta_framework.data.loading.worker_process import Work
from loretta_framework.data.loading.workers import Pool, WorkerDied

MAX_DEATHS = 3
"""Processes that may die of no known cause before the next result is there."""

ROW_SECONDS = 300.0
"""Time to wait for the decoding of one row."""


def context_of(start_method: str) -> BaseContext:
    """How processes start by a recipe's `data.start_method`; "auto" is the platform's own way."""
    return multiprocessing.get_context(None if start_method == "auto" else start_method)


def supervised(
    work: Work,
    steps: range,
    workers: int,
    context: BaseContext,
    row_seconds: float,
    blame: Callable[[Place, str], None],
    given_up: Callable[[WorkerDied], LorettaError],
) -> Generator[bytearray, None, None]:
    """What `work.packed` gives for each step, in order; processes that died are started again.

    Args:
        work: what to do; it is handed anew to processes that are started again.
        steps: consecutive numbers.
        workers: processes.
        context: how they start.
        row_seconds: time to wait for the decoding of one row.
        blame: told of a row that ended its process, and how; `work` must then leave it out.
        given_up: the error after `MAX_DEATHS` deaths of no known cause.

    Raises:
        LorettaError: what `given_up` made, or `blame` raises.
    """
    deaths, first = 0, steps.start
    while first < steps.stop:
        pool = Pool(work, workers, context, row_seconds)
        atexit.register(pool.close)  # before multiprocessing waits for them
        try:
            for data in pool.results(first, steps.stop):
                first, deaths = first + 1, 0
                yield data
        except WorkerDied as died:
            if died.place is not None:
                blame(died.place, f"the decoder {died.cause}")
            else:
                deaths += 1
            if deaths == MAX_DEATHS:
                raise given_up(died) from died
        finally:
            atexit.unregister(pool.close)
            pool.close()
