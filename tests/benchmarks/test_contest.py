"""Contestants in processes of their own, in interleaved rounds."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.contest import Entry, contest
from benchmarks.contestants import device_checks
from benchmarks.options import affordable
from benchmarks.peers import Absent, python_of
from benchmarks.rounds import Rounds

ROOT = Path(__file__).parents[2]
COUNTING = """
import os
from pathlib import Path

def work(spec, rounds):
    print("noise on standard output")
    rounds.about(versions={"x": "1"}, parameters=3)
    for number, pieces in enumerate(rounds):
        with Path(spec["log"]).open("a") as log:
            log.write(f"{spec['name']} {number} {pieces}\\n")
        if spec.get("dies") == number:
            raise RuntimeError("it broke")
        rounds.note(units=10 * pieces, loss=float(number))
"""


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with the benchmarks and a contestant that writes down when it works."""
    package = tmp_path / "benchmarks" / "contestants"
    package.mkdir(parents=True)
    for name in ("__init__.py", "rounds.py", "contestants/__init__.py", "contestants/serve.py"):
        (tmp_path / "benchmarks" / name).write_text((ROOT / "benchmarks" / name).read_text())
    (package / "counting.py").write_text(COUNTING)
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    return tmp_path / "log"


def test_rounds_are_interleaved_and_a_failure_is_a_row(counting: Path) -> None:
    specs = [{"log": str(counting), "name": name} for name in "ab"]
    specs += [{"log": str(counting), "name": "c", "dies": 2}]
    entries = [Entry(spec["name"], "counting", spec) for spec in specs]
    entries += [
        Entry("d", "counting", {}, environment="nothing"),
        Entry("e", "counting", {}, absent="path not given"),
    ]
    found = contest("t", "x", entries, rounds=3, pieces=2, warm_up=1)
    assert counting.read_text().split("\n")[:-1] == [
        "a 0 1", "b 0 1", "c 0 1", "a 1 2", "b 1 2", "c 1 2", "a 2 2", "b 2 2", "c 2 2", "a 3 2", "b 3 2",
    ]  # fmt: skip
    a, b, c, d, e = found.rows
    assert len(a.rates) == len(b.rates) == 3
    assert a.versions == {"x": "1"}
    assert (a.facts["parameters"], a.facts["loss"]) == (3, 3.0)
    assert c.rates == ()
    assert c.skipped == "it ended: RuntimeError: it broke"
    assert d.skipped == ".peers/nothing is missing; build it: make .peers/nothing/.setup"
    assert e.skipped == "path not given"
    assert len(found.others) <= 9


def test_what_takes_too_long_is_ended(counting: Path) -> None:
    entry = Entry("a", "counting", {"log": str(counting), "name": "a"})
    found = contest("t", "x", [entry], 1, 1, together=True, deadline=0.0)
    assert found.rows[0].skipped == "it took longer than its time"


def test_an_environment_that_was_built_gives_its_python(tmp_path: Path) -> None:
    (tmp_path / ".peers" / "hf").mkdir(parents=True)
    with pytest.raises(Absent, match="hf is missing; build it"):
        python_of("hf", tmp_path)
    (tmp_path / ".peers" / "hf" / ".setup").touch()
    assert python_of("hf", tmp_path) == str(tmp_path / ".peers" / "hf" / "bin" / "python")
    assert python_of("ours", tmp_path) == sys.executable


def test_only_time_within_a_round_counts() -> None:
    clock, events = iter(range(100)), []
    rounds = Rounds([1, 2], events.append, lambda: float(next(clock)))
    for pieces in rounds:
        rounds.note(units=pieces)
    assert [event["event"] for event in events] == ["ready", "round", "round"]
    assert [event["seconds"] for event in events[1:]] == [1.0, 1.0]
    assert [event["units"] for event in events[1:]] == [1, 2]


def test_bf16_is_skipped_where_the_processor_lacks_its_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [Entry(name, "x", {"precision": name}) for name in ("fp32", "bf16")]
    chosen = argparse.Namespace(bf16="auto", dry=False)
    monkeypatch.setattr("benchmarks.options.multiplies_bf16", lambda: False)
    assert [bool(entry.absent) for entry in affordable(entries, chosen)] == [False, True]
    chosen.bf16 = "always"
    assert not any(entry.absent for entry in affordable(entries, chosen))
    chosen.bf16 = "auto"
    monkeypatch.setattr("benchmarks.options.multiplies_bf16", lambda: True)
    assert not any(entry.absent for entry in affordable(entries, chosen))


def test_a_check_that_raises_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(
        device_checks, "checks", lambda *_: {"a": broken, "b": lambda: {"ok": True}}
    )
    events: list[dict[str, object]] = []
    device_checks.work(
        {"group": "parity", "device": "cpu", "dry": True}, Rounds([0, 1], events.append)
    )
    assert events[1]["failed"] == "RuntimeError: illegal memory access"
    assert events[1]["ok"] is False
    assert events[2]["ok"] is True


def test_every_environment_is_pinned() -> None:
    files = sorted((ROOT / "benchmarks" / "environments").glob("*.txt"))
    assert {"hf", "x_transformers", "transfusion"} <= {file.stem for file in files}
    for file in [*files, ROOT / "benchmarks" / "gpu" / "carry.txt"]:
        for line in file.read_text().split():
            assert line.count("==") == 1, (file, line)


def test_the_benchmarks_package_imports_nothing() -> None:
    code = "import sys, benchmarks.rounds, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "loretta_framework"} & set(json.loads(done.stdout))
