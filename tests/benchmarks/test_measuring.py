"""Whether the machine is quiet, figures over rounds, gates, result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import describe_machine, multiplies_bf16
from benchmarks.measuring import Spread, Ticks, read_ticks, wait_until_idle
from benchmarks.results import Gate, Result, Row, ratio_gate

STAT = "cpu  100 5 45 1000 50 0 0 0 0 0\ncpu0 50 2 20 500 25 0 0 0 0 0\nintr 1\n"


def test_the_counters_of_the_kernel_are_read() -> None:
    assert read_ticks(STAT) == Ticks(busy=150, total=1200)


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2\n"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must begin with the counters of all processors"):
        read_ticks(text)


def test_what_others_used_leaves_out_ones_own() -> None:
    before, after = Ticks(100, 1000), Ticks(160, 1200)
    assert after.share_since(before) == pytest.approx(0.3)
    assert after.share_since(before, own=50) == pytest.approx(0.05)
    assert after.share_since(before, own=500) == 0
    assert before.share_since(before) == 0


def counters(*busy: int) -> Any:
    """Of a machine that used so much in each window of 100 ticks."""
    total, states = 0, []
    for share in (0, *busy):
        total += 100
        states.append(Ticks((states[-1].busy if states else 0) + share, total))
    return iter(states).__next__


def test_it_waits_until_others_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []
    share = wait_until_idle(read=counters(50, 40, 3), sleep=slept.append)
    assert share == pytest.approx(0.03)
    assert len(slept) == 3
    assert "waiting: others use 50% of the processors" in capsys.readouterr().err


def test_it_gives_up_on_a_machine_that_stays_busy() -> None:
    with pytest.raises(SystemExit, match=r"must use less than 4%.*--busy-ok"):
        wait_until_idle(patience=4, read=counters(50, 50, 50), sleep=lambda _: None)


def test_a_busy_machine_can_be_accepted_and_is_told() -> None:
    share = wait_until_idle(True, read=counters(50), sleep=lambda _: None)
    result = Result("x", "", busy_before=share)
    assert share == pytest.approx(0.5)
    assert not result.clean
    assert Result("x", "", busy_before=0.01, others=[0.02, 0.04]).clean
    assert not Result("x", "", busy_before=0.01, others=[0.02, 0.3]).clean
    assert not Result("x", "").clean


def test_where_there_are_no_counters_nothing_waits() -> None:
    assert wait_until_idle(read=lambda: None, sleep=lambda _: pytest.fail("slept")) is None


def test_a_spread_of_ratios_is_taken_round_by_round() -> None:
    assert Spread.of_ratios([2.0, 6.0, 3.0], [1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3.0)


@pytest.mark.parametrize(
    ("higher", "value", "verdict"),
    [
        (True, 0.99, "missed"),
        (True, 1.0, "met"),
        (True, 2.0, "moonshot"),
        (False, 1.0, "met"),
        (False, 1.1, "missed"),
        (False, 0.5, "moonshot"),
    ],
)
def test_gates(higher: bool, value: float, verdict: str) -> None:
    gate = Gate("x", 1.0, 2.0 if higher else 0.5, higher)
    assert gate.judge(Spread.of([value]))["verdict"] == verdict


def test_a_gate_without_figures_says_why() -> None:
    rows = [Row("t", "ours", "x", [1.0]), Row("t", "peer", "x", skipped="path not given")]
    gate = Gate("x", 1.0)
    assert ratio_gate(gate, rows, "t", "ours", "peer")["why"] == "peer: path not given"
    assert ratio_gate(gate, rows, "t", "ours", "other")["why"] == "other: was not run"
    assert ratio_gate(gate, rows, "t", "ours", "other")["verdict"] == "not measured"


def test_a_result_file_holds_machine_rows_and_gates(tmp_path: Path) -> None:
    rows = [Row("t", "ours", "x", [3.0, 2.0, 4.0], {"loss": 1.5}), Row("t", "b", "x", skipped="no")]
    result = Result("test", "python -m x", rows, [Gate("g", 1.0).judge(Spread.of([2.0]))])
    data = json.loads(result.write(tmp_path / "r.json").read_text())
    assert data["rows"][0]["median"] == 3.0
    assert (data["rows"][0]["min"], data["rows"][0]["max"]) == (2.0, 4.0)
    assert data["rows"][1] == {"table": "t", "name": "b", "unit": "x", "skipped": "no"}
    assert data["gates"][0]["verdict"] == "met"
    assert {"processor", "cores", "flags", "python"} <= set(data["machine"])
    assert "torch" in data["versions"]
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_instructions_are_read_off_the_processor() -> None:
    text = "processor : 0\nmodel name : Some CPU\nflags : fpu avx2 amx_bf16 sse\nflags : none\n"
    machine = describe_machine(text)
    assert machine["processor"] == "Some CPU"
    assert machine["flags"] == ["avx2", "amx_bf16"]
    assert multiplies_bf16(machine["flags"])
    assert not multiplies_bf16(["avx2", "avx512f"])
