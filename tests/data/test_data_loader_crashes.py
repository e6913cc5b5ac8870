"""Decoders that crash, hang or exit, and processes that are killed: a row is lost, never the run."""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import ShardError, TrainingError
from loretta_framework.data.loader import Loader

Write = Callable[..., tuple[str, ...]]
Stream = list[tuple[int, str, int, tuple[int, ...]]]

STEPS = 20

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class Fragile:
    """Text as bytes; its content may say what the decoder does instead."""

    def read(self, data: bytes, extension: str) -> bytes:
        word, _, number = data.partition(b"-")
        if word == b"bad":
            raise ValueError("not a toy file")
        if multiprocessing.parent_process() is not None:
            faulthandler.disable()  # pytest's would print where
        if word == b"read":
            ctypes.string_at(0)  # a real one: SIGSEGV
        if word == b"signal":
            os.kill(os.getpid(), int(number))
        if word == b"exit":
            os._exit(int(number))
        if word == b"hang":
            while True:
                time.sleep(60)
        if word == b"slow":
            time.sleep(0.6)
        if word == b"bug":
            raise BUGS[int(number)]("the plugin is broken")
        return data

    def encode(self, value: bytes) -> Any:
        return np.frombuffer(value, dtype=np.uint8).astype(np.int64)


BUGS = (ImportError, NameError, AttributeError, TypeError, NotImplementedError, MemoryError)


class Moody(Fragile):
    """Crashes with one augmentation in eight; the same at the same position of a stream."""

    def augment(self, value: bytes, random: np.random.Generator) -> bytes:
        if value == b"7" and not random.integers(8):
            os.kill(os.getpid(), signal.SIGSEGV)
        return value + bytes([int(random.integers(256))])


def contents(count: int, special: dict[int, bytes]) -> dict[str, dict[str, bytes]]:
    return {f"{n:03d}": {"text.txt": special.get(n, str(n).encode())} for n in range(count)}


@pytest.fixture
def make(write: Write, toy: SimpleNamespace) -> Callable[..., Any]:
    """A plan over rows with special contents; the order is the same whatever they are."""
    numbers = itertools.count()

    def plan(special: dict[int, bytes], count: int = 40) -> Any:
        shards = write(f"set{next(numbers)}", contents(count, special))
        return toy.plan([toy.set("set", shards, ("text",))], steps=STEPS)

    return plan


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()
    assert not list(Path("/dev/shm").glob(f"*{os.getpid()}*"))


def loader(
    plan: Any, run: Path | None, workers: int, kind: Any = Fragile, **changes: Any
) -> Loader:
    if run is not None:
        run.mkdir(exist_ok=True)
    return Loader(plan, {"text": kind()}, run, workers, **changes)


def stream(steps: Any, first: int = 0) -> Stream:
    return [
        (step, s.key, s.position, tuple(s.parts[0][1].tolist()))
        for step, samples in enumerate(steps, first)
        for s in samples["causal"]
    ]


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]


CRASHES = {
    "real": (b"read", "SIGSEGV"),
    **{
        name: (f"signal-{int(signal.Signals[name])}".encode(), name)
        for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")
    },
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_row_that_crashes_its_decoder_is_a_bad_row(
    crash: str, make: Callable[..., Any], tmp_path: Path
) -> None:
    content, name = CRASHES[crash]
    undecodable = stream(loader(make({3: b"bad", 17: b"bad"}), None, 0).steps(0, STEPS))
    plan = make({3: content, 17: b"bad"})
    run = tmp_path / "run"
    given = stream(loader(plan, run, 2).steps(0, STEPS))
    assert given == undecodable
    found = {line["key"]: line for line in lines(run)}
    assert set(found) == {"003", "017"}
    assert len(lines(run)) == 2
    assert found["003"]["cause"] == f"the decoder crashed ({name})"
    assert found["003"]["shard"] in plan.sets[0].shards
    # Without processes a second crash would end this test.
    for cut in (0, 11):
        resumed = loader(plan, run, 0)
        assert len(resumed.quarantine) == 2
        assert stream(resumed.steps(cut, STEPS), cut) == [s for s in given if s[0] >= cut]
    assert len(lines(run)) == 2


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_crash_at_one_position_changes_no_other_step(
    workers: int, make: Callable[..., Any], tmp_path: Path
) -> None:
    plan = make({}, count=10)
    healthy = stream(loader(plan, None, 0).steps(0, STEPS))
    whole = stream(loader(plan, tmp_path / "one", 1, Moody).steps(0, STEPS))
    (crash,) = lines(tmp_path / "one")
    first = crash["step"]
    assert any(key == "set/007" for step, key, *_ in whole if step < first)
    assert not any(key == "set/007" for step, key, *_ in whole if step >= first)
    assert [s[:3] for s in whole if s[0] < first] == [s[:3] for s in healthy if s[0] < first]
    run = tmp_path / f"workers{workers}"
    assert stream(loader(plan, run, workers, Moody).steps(0, STEPS)) == whole
    assert lines(run) == lines(tmp_path / "one")
    resumed = loader(plan, run, workers, Moody).steps(first - 2, STEPS)
    assert stream(resumed, first - 2) == [s for s in whole if s[0] >= first - 2]


def test_crashes_count_against_the_fraction(make: Callable[..., Any], tmp_path: Path) -> None:
    plan = make(dict.fromkeys((3, 17, 30), b"signal-11"))
    with pytest.raises(ShardError, match="3 of 40 rows cannot be used") as caught:
        list(loader(plan, tmp_path / "run", 2).steps(0, STEPS))
    assert "the decoder crashed (SIGSEGV)" in str(caught.value)
    stream(loader(plan, None, 2, max_bad_fraction=0.08).steps(0, STEPS))


def test_nothing_but_crashes_stops_the_run(make: Callable[..., Any]) -> None:
    plan = make(dict.fromkeys(range(4), b"signal-11"), count=4)
    with pytest.raises(ShardError, match="100 rows in a row cannot be used"):
        list(loader(plan, None, 2, max_bad_fraction=1.0).steps(0, STEPS))


def test_a_mended_row_is_decoded_again(make: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    stream(loader(make({3: b"signal-11"}), run, 1).steps(0, STEPS))
    (found,) = lines(run)
    found["key"] = "another sample"
    (run / "quarantine.jsonl").write_text(json.dumps(found) + "\n")
    keys = {key for _, key, *_ in stream(loader(make({3: b"3"}), run, 0).steps(0, STEPS))}
    assert "set/003" in keys


def test_a_line_cut_by_a_kill_does_not_swallow_the_next(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "quarantine.jsonl").write_text('{"shard": "a", "ke')
    stream(loader(make({3: b"signal-11"}), run, 1).steps(0, STEPS))
    cut, whole = (run / "quarantine.jsonl").read_text().splitlines()
    assert cut == '{"shard": "a", "ke'
    assert json.loads(whole)["key"] == "003"
    assert len(loader(make({}), run, 0).quarantine) == 2


def test_a_row_that_hangs_is_a_bad_row(make: Callable[..., Any], tmp_path: Path) -> None:
    undecodable = stream(loader(make({3: b"bad"}), None, 0).steps(0, STEPS))
    run = tmp_path / "run"
    given = stream(loader(make({3: b"hang"}), run, 2, row_seconds=2.0).steps(0, STEPS))
    assert given == undecodable
    (found,) = lines(run)
    assert found["cause"] == "the decoder took longer than 2 s"


def test_slow_rows_that_end_are_no_bad_rows(make: Callable[..., Any], tmp_path: Path) -> None:
    plan = make(dict.fromkeys(range(4), b"slow"), count=4)
    whole = loader(plan, tmp_path / "run", 2, row_seconds=2.0).steps(0, 2)
    assert len(stream(whole)) == 8  # each step takes longer than the limit of a row
    assert not (tmp_path / "run/quarantine.jsonl").exists()


@LINUX
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_process_that_is_killed_from_outside_changes_nothing(
    name: str, make: Callable[..., Any], tmp_path: Path
) -> None:
    plan = make({})
    whole = stream(loader(plan, None, 0).steps(0, STEPS))
    run = tmp_path / "run"
    given = []
    kills = 0
    for samples in loader(plan, run, 2).steps(0, STEPS):
        given.append(samples)
        if len(given) % 4 == 1:
            # A row would be to blame if one were being decoded.
            os.kill(wait_for(idle_workers)[0], signal.Signals[name])
            kills += 1
    assert kills == 5
    assert stream(given) == whole
    assert not (run / "quarantine.jsonl").exists()


def test_deaths_without_a_step_between_them_stop_the_run(make: Callable[..., Any]) -> None:
    plan = make(dict.fromkeys(range(4), b"exit-7"), count=4)
    with pytest.raises(TrainingError, match="a loader process died 3 times") as caught:
        list(loader(plan, None, 2).steps(0, STEPS))
    assert "it ended with status 7" in str(caught.value)
    assert "memory" in str(caught.value)
    assert "data.workers=0" in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", range(len(BUGS)))
def test_bugs_of_a_plugin_are_never_bad_rows(
    number: int, workers: int, make: Callable[..., Any], tmp_path: Path
) -> None:
    plan = make({3: f"bug-{number}".encode()})
    run = tmp_path / "run"
    with pytest.raises(BUGS[number], match="the plugin is broken") as caught:
        list(loader(plan, run, workers, max_bad_fraction=1.0).steps(0, STEPS))
    assert type(caught.value) is BUGS[number]
    assert not (run / "quarantine.jsonl").exists()


class Counted(Fragile):
    """Leaves a mark for each row that it decodes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, data: bytes, extension: str) -> bytes:
        with self.file.open("ab") as file:
            file.write(b".")
        return data


def test_workers_run_ahead_by_a_few_steps_only(make: Callable[..., Any], tmp_path: Path) -> None:
    counted = Counted(tmp_path / "count")
    steps = Loader(make({}), {"text": counted}, None, 2).steps(0, STEPS)  # type: ignore[dict-item]
    next(steps)
    time.sleep(0.5)
    ahead = len(counted.file.read_bytes()) // 4
    steps.close()  # type: ignore[attr-defined]
    assert 1 <= ahead <= 1 + 2 * 2


@LINUX
def test_workers_end_with_a_parent_that_is_killed(make: Callable[..., Any], tmp_path: Path) -> None:
    plan = make({})
    told = tmp_path / "workers"

    def consume() -> None:
        steps = loader(plan, None, 2).steps(0, STEPS)
        next(steps)
        workers = multiprocessing.active_children()
        (tmp_path / "aside").write_text(" ".join(str(worker.pid) for worker in workers))
        (tmp_path / "aside").rename(told)
        time.sleep(600)

    parent = multiprocessing.get_context("fork").Process(target=consume)
    parent.start()
    wait_for(told.exists)
    parent.kill()
    parent.join()
    workers = [int(pid) for pid in told.read_text().split()]
    assert len(workers) == 2
    wait_for(lambda: all(state(pid) in ("", "Z") for pid in workers))


def state(pid: int) -> str:
    """The kernel's letter: R runs, S waits, Z is dead and was not reaped; "" is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def idle_workers() -> list[int]:
    """Loader processes that wait for something to do; not those that are about to end."""
    found = [worker.pid for worker in multiprocessing.active_children() if worker.pid is not None]
    for _ in range(5):
        found = [pid for pid in found if state(pid) == "S"]
        time.sleep(0.01)
    return found


def wait_for(look: Callable[[], Any]) -> Any:
    for _ in range(1000):
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it never happened")
