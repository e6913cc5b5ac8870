"""Contestants at the same work in interleaved rounds: all set up, then each in turn, round by round."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measuring import read_ticks
from benchmarks.peers import OURS, Absent, Peer
from benchmarks.results import Row
from benchmarks.rounds import Rounds

Running = tuple["Entry", Row, Peer]

TICKS_PER_S = 100.0
"""Of the counters in /proc/stat."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant and its work.

    Attributes:
        name: of the row.
        contestant: a module of `benchmarks.contestants`.
        spec: what it is to do.
        environment: whose python.
        threads: processor threads; with one, a rate is per second of processor time.
        absent: why it cannot be run, where that is known before.
    """

    name: str
    contestant: str
    spec: Mapping[str, Any]
    environment: str = OURS
    threads: int = 1
    absent: str = ""


@dataclass(slots=True)
class Contest:
    """What a contest gave.

    Attributes:
        rows: one an entry, in order.
        others: share of all processors that others used in each round.
    """

    rows: list[Row] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def contest(
    table: str,
    unit: str,
    entries: Sequence[Entry],
    rounds: int,
    pieces: int,
    warm_up: int = 1,
    *,
    together: bool = False,
    deadline: float | None = None,
) -> Contest:
    """Run all entries in turn, `rounds` times after a round of `warm_up` pieces.

    Args:
        table: name of the work.
        unit: of what contestants count as `units`, per second.
        entries: who takes part; those that cannot are rows with the reason.
        rounds: that are measured.
        pieces: of work in each.
        warm_up: pieces before the first round; compilation falls into them.
        together: set all up at the same time; for machines with more cores than contestants.
        deadline: on `time.monotonic`'s clock; then no round starts, and what runs is ended.
    """
    found = Contest([Row(table, entry.name, unit) for entry in entries])
    with ExitStack() as stack:
        running: list[Running] = []
        waiting: list[Running] = []
        for entry, row in zip(entries, found.rows, strict=True):
            peer = _started(entry, row, stack, deadline)
            if peer is not None:
                waiting.append((entry, row, peer))
            if not together:
                running, waiting = running + _warmed(waiting, warm_up), []
        running += _warmed(waiting, warm_up)
        for number in range(rounds):
            if deadline is not None and time.monotonic() > deadline:
                break
            running = [item for item in running if _round(*item, pieces, number, found)]
    return found


def _started(entry: Entry, row: Row, stack: ExitStack, deadline: float | None) -> Peer | None:
    try:
        if entry.absent:
            raise Absent(entry.absent)
        spec = dict(entry.spec)
        peer = Peer(entry.environment, entry.contestant, spec, entry.threads, deadline)
    except Absent as error:
        _skip(row, error)
        return None
    stack.callback(peer.close)
    return peer


def _warmed(started: Sequence[Running], warm_up: int) -> list[Running]:
    """Those that are set up and did their first round; all of them at the same time."""
    return [item for item in [i for i in started if _ready(*i, warm_up)] if _first(*item)]


def _ready(entry: Entry, row: Row, peer: Peer, warm_up: int) -> bool:
    try:
        about = peer.ready()
    except Absent as error:
        _skip(row, error)
        return False
    peer.ask(warm_up)
    row.versions = about.pop("versions", {})
    row.facts = {key: value for key, value in about.items() if key != "event"}
    return True


def _first(entry: Entry, row: Row, peer: Peer) -> bool:
    try:
        first = peer.answer()
    except Absent as error:
        _skip(row, error)
        return False
    row.facts = {**row.facts, "warm_up_seconds": round(first["seconds"], 2)}
    _say(f"{row.table}: {row.name} is ready, {_told(first)}")
    return True


def _skip(row: Row, error: Absent) -> None:
    row.rates, row.skipped = (), str(error)
    _say(f"{row.table}: {row.name} skipped: {error}")


def rehearsal(table: str, unit: str, entries: Sequence[Entry], rounds: int = 1) -> Contest:
    """The entries of our own environment in this process, one after the other; nothing is timed
    that would count. The others are left out; those that are absent are rows with the reason."""
    found = Contest()
    for entry in entries:
        row = Row(table, entry.name, unit, skipped=entry.absent)
        if entry.environment != OURS and not entry.absent:
            continue
        found.rows.append(row)
        if entry.absent:
            continue
        events: list[dict[str, Any]] = []
        module = importlib.import_module(f"benchmarks.contestants.{entry.contestant}")
        module.work(dict(entry.spec), Rounds([1] * (1 + rounds), events.append))
        row.rates = [event.get("units", 1) / event["seconds"] for event in events[2:]]
        row.facts = {key: value for key, value in events[-1].items() if key not in _TIMES}
    return found


def _round(entry: Entry, row: Row, peer: Peer, pieces: int, number: int, found: Contest) -> bool:
    """Measure one; whether the contestant goes on."""
    before = read_ticks()
    try:
        answer = peer.round(pieces)
    except Absent as error:
        _skip(row, error)
        return False
    after = read_ticks()
    if before is not None and after is not None:
        found.others.append(after.share_since(before, answer["cpu_seconds"] * TICKS_PER_S))
    taken = answer["cpu_seconds" if entry.threads == 1 else "seconds"]
    row.rates = [*row.rates, answer.get("units", pieces) / taken]
    noted = {k: v for k, v in answer.items() if k not in _TIMES}
    row.facts = {**row.facts, **noted, "clock": "processor" if entry.threads == 1 else "wall"}
    _say(
        f"{row.table}, round {number + 1}: {row.name} {row.rates[-1]:.5g} {row.unit}, {_told(answer)}"
    )
    return True


_TIMES = ("event", "seconds", "cpu_seconds", "units")


def _told(answer: Mapping[str, Any]) -> str:
    loss = f", loss {answer['loss']:.4f}" if "loss" in answer else ""
    return f"{answer['seconds']:.2f} s{loss}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
