"""Every command runs in its dry form: tiny sizes, one round, our own contestants."""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import packing, train_cpu
from benchmarks.results import Result, Row

ROOT = Path(__file__).parents[2]


def run(name: str, monkeypatch: pytest.MonkeyPatch, out: Path, *more: str) -> dict[str, Any]:
    monkeypatch.setattr("sys.argv", [name, "--dry", "--out", str(out), *more])
    monkeypatch.delenv("NANOGPT_PATH", raising=False)
    importlib.import_module(f"benchmarks.{name}").main()
    data: dict[str, Any] = json.loads(out.read_text())
    return data


def rates(data: dict[str, Any], table: str) -> dict[str, float]:
    return {
        row["name"]: row["median"]
        for row in data["rows"]
        if row["table"] == table and "median" in row
    }


def test_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = run("train_cpu", monkeypatch, tmp_path / "r.json", "--only", "nano", "mix")
    assert {"ours fp32", "ours bf16", "our model, loop by hand, fp32"} <= set(rates(data, "nano"))
    assert all(rate > 0 for rate in rates(data, "mix").values())
    skipped = {row["name"]: row["skipped"] for row in data["rows"] if "skipped" in row}
    assert skipped["nanoGPT fp32"] == "nanoGPT path not given"
    gate = next(gate for gate in data["gates"] if gate["name"] == "nano: against nanoGPT")
    assert gate["why"] == "nanoGPT fp32: nanoGPT path not given"


def test_our_two_loops_do_the_same_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = run("train_cpu", monkeypatch, tmp_path / "r.json", "--only", "short")
    losses = {row["name"]: row["facts"]["loss"] for row in data["rows"] if "facts" in row}
    assert losses["ours fp32"] == pytest.approx(losses["our model, loop by hand, fp32"], abs=1e-5)


def test_decoding_agrees_with_decoding_without_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = run("decode_cpu", monkeypatch, tmp_path / "r.json", "--only", "B 16")
    rows = {row["name"]: row for row in data["rows"] if "facts" in row}
    assert rows["ours fp32"]["facts"]["same_tokens_as_without_cache"] == 1.0
    assert "sequence" not in rows["ours fp32"]["facts"]


def test_rollouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = run("rollout", monkeypatch, tmp_path / "r.json")
    assert data["gates"][0]["verdict"] != "not measured"


def test_mamba(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = run("mamba", monkeypatch, tmp_path / "r.json", "--only", "T 256", "decode")
    assert {"ours, Mamba-2, fp32", "ours, Transformer, fp32"} <= set(rates(data, "T 256"))


def test_packing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = run("packing", monkeypatch, tmp_path / "r.json")
    assert set(rates(data, "layouts")) == set(packing.LAYOUTS)
    verdicts = {gate["name"]: gate for gate in data["gates"]}
    assert verdicts["samples whose loss another one changes"]["median"] == 0
    assert verdicts["useful share of packed lines"]["median"] > 0.9


def test_one_who_asks_for_no_table_gets_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("train_cpu", monkeypatch, tmp_path / "r.json", "--only", "nothing")["rows"] == []


def test_our_row_in_a_gate_is_the_fastest_one() -> None:
    found = {"ours fp32": 2.0, "ours bf16": 1.0, "HF Llama fp32": 1.0, "HF Llama bf16": 0.1}
    rows = [Row("mid", name, "x", [rate, rate]) for name, rate in found.items()]
    judged = train_cpu.judged(Result("x", "", rows), train_cpu.GATES[0][2], "mid", "HF Llama")
    assert judged["rows"] == ["ours fp32", "HF Llama fp32"]
    assert judged["median"] == 2.0


def test_no_path_of_the_product_compiles_generation() -> None:
    """A compiled step is slower on a processor; the benchmark `decode_cpu` keeps showing it."""
    core = ROOT / "loretta_framework"
    places = [*core.rglob("generation/**/*.py"), *core.rglob("inference*/**/*.py")]
    places += [*core.glob("inference*.py"), core / "cli" / "generate.py"]
    files = {*places, *ROOT.glob("plugins/*/src/**/*.py")}
    assert len(files) > 20
    assert not [file for file in files if "torch.compile" in calls(file)]


def calls(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} | {
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
