"""Processes that work on steps ahead of time. They share nothing but what they were started with.

Written here because DataLoader turns the death of a process into a text, waits for one that hangs
for ever, and sends every array as an object of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from loretta_framework.data.loading.watch import FIELDS, Place, Watch
from loretta_framework.data.loading.worker_process import FRAME, STEP, Work, cell_of, serve

PREFETCH = 2
"""Steps that each process works on ahead of the one that is wanted."""

_FAULTS = tuple(
    signal.Signals[name] for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")
)
_LOOK_SECONDS = 1.0
_PIPE_BYTES = 1 << 20


class WorkerDied(Exception):
    """A process ended that should not have. Internal: the loader starts new ones, or gives up.

    Attributes:
        cause: what ended it.
        place: the row whose decoding is to blame, None when nothing points to one.
    """

    def __init__(self, cause: str, place: Place | None) -> None:
        super().__init__(cause, place)
        self.cause, self.place = cause, place


class Pool:
    """Worker processes, from their start until one dies or `close` is called.

    Args:
        work: what they do.
        count: how many.
        context: how they start.
        row_seconds: time to wait for a process that decodes one and the same row.
    """

    def __init__(self, work: Work, count: int, context: BaseContext, row_seconds: float) -> None:
        self._row_seconds = row_seconds
        self._workers: list[_Worker] = []
        self._ends = DefaultSelector()
        cells = context.RawArray(ctypes.c_int64, FIELDS * count)
        try:
            for number in range(count):
                worker = _Worker(work, context, cells, number)
                self._workers.append(worker)
                for file in worker.files():
                    self._ends.register(file, EVENT_READ)
        except BaseException:
            self.close()
            raise

    def results(self, first: int, stop: int) -> Iterator[bytearray]:
        """What `Work.packed` gave for each step of `range(first, stop)`, in order.

        Raises:
            WorkerDied: before the next result was there.
        """
        ready: dict[int, bytearray] = {}
        given = first
        for wanted in range(first, stop):
            while True:
                # Bounded: a slow step must not let the others run ahead without end.
                end = min(stop, wanted + PREFETCH * len(self._workers))
                given = self._hand_out(given, end)
                if wanted in ready:
                    break
                self._collect(ready)
            yield ready.pop(wanted)

    def close(self) -> None:
        """End all processes at once; they hold nothing that has to be saved. May be repeated."""
        self._ends.close()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _hand_out(self, first: int, stop: int) -> int:
        """Give steps to the processes with the least to do; the first step that was not given."""
        for step in range(first, stop):
            idlest = min(self._workers, key=lambda worker: worker.busy)
            if idlest.busy >= PREFETCH:
                return step
            idlest.give(step)
        return max(first, stop)

    def _collect(self, ready: dict[int, bytearray]) -> None:
        """Wait for results, at most a moment, and look after the processes when none came."""
        if self._receive(ready):
            return
        began = time.monotonic()
        self._ends.select(_LOOK_SECONDS)
        if not self._receive(ready):
            # No more than the wait asked for: time in which this process was stopped is no time in
            # which a worker could have gone on.
            self._look(min(time.monotonic() - began, _LOOK_SECONDS))

    def _receive(self, ready: dict[int, bytearray]) -> bool:
        """Add the results that are there; False when there were none."""
        came = [frame for worker in self._workers for frame in worker.receive()]
        ready.update(came)
        return bool(came)

    def _look(self, waited: float) -> None:
        deaths = [died for worker in self._workers if (died := worker.death()) is not None]
        deaths += [
            WorkerDied(f"took longer than {self._row_seconds:g} s", place)
            for worker in self._workers
            if (place := worker.stuck(waited, self._row_seconds)) is not None
        ]
        if deaths:
            raise min(deaths, key=lambda died: died.place is None)


class _Worker:
    """One process as its parent sees it."""

    def __init__(self, work: Work, context: BaseContext, cells: Any, number: int) -> None:
        tasks, self._tasks = context.Pipe(duplex=False)
        self._results, results = context.Pipe(duplex=False)
        self._watch = Watch(cell_of(cells, number))
        self._inbox = _Inbox(self._results)
        self._stuck: tuple[int, float] = (0, 0.0)
        self.busy = 0
        self.process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(work, tasks, results, cells, number), daemon=True
        )
        try:
            self.process.start()
        finally:
            tasks.close()
            results.close()

    def files(self) -> tuple[int, int]:
        """What to wait for: its results, and its end."""
        return self._results.fileno(), self.process.sentinel

    def give(self, step: int) -> None:
        """A step to work on."""
        self.busy += 1
        with suppress(OSError):  # it is dead, which shows when its results are waited for
            os.write(self._tasks.fileno(), STEP.pack(step))

    def receive(self) -> list[tuple[int, bytearray]]:
        """The complete results that have arrived."""
        frames = self._inbox.read()
        self.busy -= len(frames)
        return frames

    def death(self) -> WorkerDied | None:
        """Why it is no longer alive, None when it is."""
        if self._inbox.ended:
            self.process.join(_LOOK_SECONDS)  # the pipe closes a moment before the process is gone
        code = self.process.exitcode
        if code is None:
            return None
        if code >= 0:
            return WorkerDied(f"it ended with status {code}", None)
        name = signal.Signals(-code).name
        place = self._watch.read() if -code in _FAULTS else None
        return WorkerDied(f"crashed ({name})" if place else f"it was ended by {name}", place)

    def stuck(self, waited: float, limit: float) -> Place | None:
        """The row it has been decoding for longer than the limit, while its result was awaited."""
        place = self._watch.read()
        if place is None:
            return None
        decode, seconds = self._stuck
        self._stuck = (place.decode, waited + (seconds if decode == place.decode else 0.0))
        return place if self._stuck[1] >= limit else None

    def end(self) -> None:
        """After it was killed: wait for it and let go of what it held."""
        self.process.join()
        self.process.close()
        self._tasks.close()
        self._results.close()


class _Inbox:
    """Puts frames together without ever waiting: a process may stop in the middle of one."""

    def __init__(self, connection: Connection) -> None:
        self._file = connection.fileno()
        self._held = bytearray()
        self.ended = False
        os.set_blocking(self._file, False)
        _widen(self._file)

    def read(self) -> list[tuple[int, bytearray]]:
        """(step, bytes) of the frames that are complete."""
        with suppress(BlockingIOError):
            while not self.ended:
                data = os.read(self._file, _PIPE_BYTES)
                self._held += data
                self.ended = not data
        frames = []
        while len(self._held) >= FRAME.size:
            step, size = FRAME.unpack_from(self._held)
            if len(self._held) < FRAME.size + size:
                break
            frames.append((step, self._held[FRAME.size : FRAME.size + size]))
            del self._held[: FRAME.size + size]
        return frames


def _widen(file: int) -> None:
    # A worker that has to wait for its parent to read works on nothing meanwhile.
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the user's pipes may together hold only so much
            fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
