"""A loader whose processes are killed again and again gives what the unharmed one gives."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.specs import Bounds
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.plan import ComponentPlan, ModalityPlan, Plan, SetPlan, TaskPlan
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.writing import ShardWriter

sys.path.insert(0, str(Path(__file__).parent))  # spawned workers must find the module too
from loader_consumer import consume

FORK = multiprocessing.get_context("fork")
STEPS_A_STOP = 40
PACE = 0.008
ROWS = {"first": 150, "second": 47}
SPECIAL = {("first", 11): b"bad", ("first", 97): b"crash", ("second", 30): b"bad"}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="asks the kernel for the children of a process"
)


def test_twenty_stops_change_nothing(tmp_path: Path) -> None:
    Soak(tmp_path, stops=20).run()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_stops_change_nothing(tmp_path: Path, keep_result: Any) -> None:
    keep_result("loader-kills", Soak(tmp_path, stops=200).run())


LEFT_OPEN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from loader_consumer import Loader, Plan, Text

plan = Plan.from_json(json.loads(Path(sys.argv[2]).read_text()))
steps = Loader(plan, {"text": Text()}, None, 2).steps(0, 9)
next(steps)
raise SystemExit(7)
"""


def test_a_process_ends_although_its_loader_was_left_open(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(make_plan(write_shards(tmp_path / "shards"), 9).to_json()))
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN, Path(__file__).parent, file],
        timeout=50,
        capture_output=True,
    )
    assert ended.returncode == 7, ended.stderr.decode()


class Soak:
    """Starts consumers, kills them or one of their workers, and compares what they wrote."""

    def __init__(self, folder: Path, stops: int) -> None:
        self.folder, self.stops = folder / "killed", stops
        self.steps = STEPS_A_STOP * stops
        self.random = random.Random(stops)
        self.counts: Counter[str] = Counter()
        self.whole = folder / "whole"
        shards = write_shards(folder / "shards")
        for run in (self.whole, self.folder):
            run.mkdir()
            (run / "plan.json").write_text(json.dumps(make_plan(shards, self.steps).to_json()))

    def run(self) -> dict[str, int]:
        """Kill until all stops are made, let it finish, and compare; the counts."""
        finish(start(self.whole, 1, 1, "fork", 0.0))
        while self.counts["kills of main"] + self.counts["kills of workers"] < self.stops:
            self._one_start()
        finish(start(self.folder, 2, 1, "fork", 0.0))
        self._compare()
        return dict(self.counts)

    def _one_start(self) -> None:
        method = self.random.choice(["fork"] * 5 + ["spawn"])
        # A crash in the process itself would end it; once the row is known it is left out.
        fewest = 0 if "crashed" in self._quarantine() else 1
        world, workers = self.random.choice([1, 2, 3]), self.random.choice([fewest, 1, 2])
        process = start(self.folder, world, workers, method, PACE)
        self.counts["starts"] += 1
        while True:
            if self.random.random() < 0.85:
                self._await_progress(process)
            time.sleep(self.random.uniform(0.0, 0.25))
            kids = children(process.pid or 0)
            if not kids or self.random.random() < 0.4:
                break
            self.counts["kills of workers"] += kill(self.random.choice(kids))
            self._await_progress(process)
        process.kill()
        process.join()
        self.counts["kills of main"] += process.exitcode == -signal.SIGKILL
        wait_for(lambda: not any(running(pid) for pid in kids), "the workers end with their parent")

    def _await_progress(self, process: ForkProcess) -> None:
        before = self._step()
        assert before < self.steps, "it was finished before all stops were made"
        wait_for(
            lambda: self._step() > before or process.exitcode is not None, "a step is delivered"
        )
        if process.exitcode is not None:
            finish(process)

    def _step(self) -> int:
        file = self.folder / "state.json"
        return int(json.loads(file.read_text())["step"]) if file.exists() else 0

    def _quarantine(self) -> str:
        file = self.folder / "quarantine.jsonl"
        return file.read_text() if file.exists() else ""

    def _compare(self) -> None:
        expected = (self.whole / "keys.log").read_bytes().splitlines()
        found = (self.folder / "keys.log").read_bytes().splitlines()
        assert len(expected) == self.steps
        assert found == expected
        rows = [row for entry in map(json.loads, expected) for row in entry[1]["causal"]]
        assert len(rows) == 5 * self.steps
        bad = {(run, row["key"]) for run in (self.whole, self.folder) for row in quarantined(run)}
        keys = {f"{number:03d}" for _, number in SPECIAL}
        assert bad == {(run, key) for run in (self.whole, self.folder) for key in keys}
        self.counts["rows compared"] = len(rows)
        self.counts["steps compared"] = self.steps


def write_shards(folder: Path) -> dict[str, tuple[str, ...]]:
    shards = {}
    for name, rows in ROWS.items():
        with ShardWriter(folder, name, 20) as writer:
            for row in range(rows):
                content = SPECIAL.get((name, row), f"{name[0]}{row}".encode())
                writer.write(f"{row:03d}", {"text.txt": content})
        shards[name] = tuple(str(shard) for shard in writer.shards)
    return shards


def make_plan(shards: dict[str, tuple[str, ...]], steps: int) -> Plan:
    component = ComponentPlan("toy", 1, "toy 1", {})
    sets = tuple(
        SetPlan(name, "train", found, ("text",), share, "keep", None, ROWS[name], (), None)
        for (name, found), share in zip(shards.items(), (0.6, 0.4), strict=True)
    )
    return Plan(
        name="soak",
        seed=7,
        steps=steps,
        batch_tokens=100,
        shuffle_rows=32,
        modalities=(ModalityPlan("text", component, False),),
        vocabulary=Vocabulary.build({"text": Bounds(256, 1, 12)}),
        graph=ModalityGraph(("text",), ()),
        components=(),
        bridges=(),
        sets=sets,
        tasks=(
            TaskPlan("causal", component, 0.5, 1.0, 0, 1, 5, (), 10.0),
            TaskPlan("later", component, 0.5, 1.0, 9, 4, 3, (), 10.0),
        ),
        backbone=component,
        recipe_hash="",
        data_hash="",
        reasons=(),
        versions={},
    )


def start(folder: Path, world: int, workers: int, method: str, pace: float) -> ForkProcess:
    # Forked, because starting Python anew would take most of the time.
    process = FORK.Process(target=consume, args=(folder, world, workers, method, pace))
    process.start()
    return process


def finish(process: ForkProcess) -> None:
    process.join(600)
    assert process.exitcode == 0


def children(pid: int) -> list[int]:
    """The loader processes of a process."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(kid) for kid in found if b"resource_tracker" not in command_of(int(kid))]
    except FileNotFoundError:
        return []


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def kill(pid: int) -> bool:
    """False when it had ended by itself: after a crash all workers are replaced."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def running(pid: int) -> bool:
    """Whether the process is there and no zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def quarantined(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]


def wait_for(done: Callable[[], bool], what: str) -> None:
    for _ in range(12_000):
        if done():
            return
        time.sleep(0.005)
    pytest.fail(f"it never happened: {what}")
