"""Rounds as a contestant sees them: it sets up, then loops over rounds, each so many pieces of work.

    def work(spec, rounds):
        model = build(spec)
        for pieces in rounds:           # asking for the next round ends the one before
            for _ in range(pieces):
                loss = step(model)
            rounds.note(units=..., loss=float(loss))

Only the time within a round counts. Imports nothing but the standard library: it runs everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Rounds:
    """An iterator over rounds that measures each.

    Args:
        asked: pieces of work of each round, as they are asked for.
        answer: told `{"event": "ready"}` when the contestant asks for its first round, then
            `{"event": "round", "seconds", "cpu_seconds", ...}` after each.
        clock: seconds.
    """

    def __init__(
        self,
        asked: Iterable[int],
        answer: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._asked, self._answer, self._clock = asked, answer, clock
        self._about: dict[str, Any] = {}
        self._noted: dict[str, Any] = {}

    def about(self, **facts: Any) -> None:
        """Facts about the contestant: parameters, versions, what it computes with."""
        self._about |= facts

    def note(self, **figures: Any) -> None:
        """What the round that runs did: its `units` (tokens, say), its last loss."""
        self._noted |= figures

    def __iter__(self) -> Iterator[int]:
        self._answer({"event": "ready", **self._about})
        for pieces in self._asked:
            self._noted = {}
            cpu, began = time.process_time(), self._clock()
            yield pieces
            seconds, cpu = self._clock() - began, time.process_time() - cpu
            self._answer({"event": "round", "seconds": seconds, "cpu_seconds": cpu, **self._noted})
