"""Work on rows in child processes, so that a decoder that crashes or hangs costs a row, not the run.

A child works off a range of rows in order and reports each; when it dies or goes silent, the first
row it did not report is the one at fault, and another child goes on behind it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from loretta_framework.api.errors import LorettaError

_START_SECONDS = 120.0
_READY = "ready"


class RowWork(Protocol):
    """What a child does. Pickled into it."""

    def start(self) -> Callable[[int], Any]:
        """Called once in the child; the function answers for a row, with something pickled."""


@dataclass(frozen=True, slots=True)
class Died:
    """What is known of a row whose child did not answer: `hung`, or how the child ended."""

    hung: bool
    cause: str


def run_rows(
    work: RowWork, rows: int, children: int, seconds: float, chunk: int = 64
) -> Iterator[tuple[int, Any | Died]]:
    """(row, the answer of `work` or how the child died at it) for each of `rows` rows, in any order.

    Args:
        work: what to do.
        rows: how many.
        children: processes at a time.
        seconds: time that one row may take.
        chunk: rows handed out at a time.

    Raises:
        LorettaError: a child cannot start, or `start` raises.
    """
    ranges = deque(range(start, min(start + chunk, rows)) for start in range(0, rows, chunk))
    team = [_Child(work) for _ in range(min(children, len(ranges)))]
    try:
        while team:
            for child in team:
                if child.idle and ranges:
                    child.take(ranges.popleft())
            team = [child for child in team if not (child.idle and child.ready and not ranges)]
            yield from _round(team, ranges, work, seconds)
    finally:
        for child in team:
            child.end()


def _round(
    team: list[_Child], ranges: deque[range], work: RowWork, seconds: float
) -> Iterator[tuple[int, Any | Died]]:
    """Take what the children have to say, and replace those that are gone."""
    for connection in wait([child.connection for child in team], timeout=0.2):
        child = next(child for child in team if child.connection is connection)
        with suppress(EOFError, OSError):
            yield from child.answers()
    for number, child in enumerate(team):
        died = child.state(seconds)
        if died is None:
            continue
        child.end()
        if not child.ready:
            raise LorettaError(
                f"a child process could not start: {died.cause}", fix="look for lack of memory"
            )
        row, rest = child.rows[0], child.rows[1:]
        team[number] = _Child(work)
        if rest:
            ranges.appendleft(rest)
        yield row, died


class _Child:
    def __init__(self, work: RowWork) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.ready, self.gone = False, False
        self.rows = range(0)
        self.since = time.monotonic()

    @property
    def idle(self) -> bool:
        return not self.rows

    def take(self, rows: range) -> None:
        """Give it rows to do."""
        self.rows = rows
        if self.ready:
            self.since = time.monotonic()
        with suppress(OSError):  # it died: `state` will tell
            self.connection.send((rows.start, rows.stop))

    def answers(self) -> Iterator[tuple[int, Any]]:
        """What it has reported by now."""
        while self.connection.poll():
            try:
                kind, answer = self.connection.recv()
            except (EOFError, OSError):
                self.gone = True
                return
            self.since = time.monotonic()
            if kind == _READY:
                self.ready = True
            elif isinstance(answer, _Raised):
                raise answer.error
            else:
                self.rows = self.rows[1:]
                yield kind, answer

    def state(self, seconds: float) -> Died | None:
        """How it ended, None while it works or waits."""
        if self.gone or (not self.process.is_alive() and not self.connection.poll()):
            self.process.join(5)
            return Died(False, _ending(self.process.exitcode))
        allowed = seconds if self.ready else _START_SECONDS
        if (self.rows or not self.ready) and time.monotonic() - self.since > allowed:
            return Died(True, f"no answer for {allowed:g} s")
        return None

    def end(self) -> None:
        """Stop it now."""
        self.process.kill()
        self.process.join(5)
        self.connection.close()


@dataclass(frozen=True, slots=True)
class _Raised:
    """An error that is ours, or that nobody expected."""

    error: BaseException = field(default_factory=lambda: LorettaError(""))


def _serve(connection: Connection, work: RowWork) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this one
    _limit_memory()
    try:
        answer = work.start()
        connection.send((_READY, None))
        while True:
            start, stop = connection.recv()
            for row in range(start, stop):
                connection.send((row, answer(row)))
    except EOFError:
        return
    except LorettaError as error:
        connection.send((-1, _Raised(error)))


MEMORY = 2 << 30
"""Bytes that a child may take beyond what it has when it starts: a bomb is then an error."""


def _limit_memory() -> None:
    if sys.platform != "linux":  # elsewhere the figure of use is not to be had this way
        return
    import resource

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = used + MEMORY
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _ending(code: int | None) -> str:
    if code is None:
        return "it does not end"
    if code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it exited with code {code}"
