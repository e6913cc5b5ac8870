"""The GPU benchmark in its dry form: every section, tiny, on the processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu, training
from benchmarks.gpu.checks import parity
from benchmarks.results import Row


def test_every_section_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.delenv("NANOGPT_PATH", raising=False)
    monkeypatch.setattr("sys.argv", ["gpu", "--dry", "--rounds", "1", "--out", str(out)])
    gpu.main()
    data = json.loads(out.read_text())
    assert set(data["about"]["seconds"]) == set(gpu.SECTIONS)
    rows = {(row["table"], row["name"]): row for row in data["rows"]}
    for name in ("attention sdpa", "attention auto", "Mamba-2, plain torch", "Hyena, FFT"):
        for layout in ("packed", "separate"):
            assert rows["parity", f"{name}, fp32, {layout}"]["facts"]["ok"] is True
    assert rows["decoding", "decode, tiny, B 2"]["facts"]["same_tokens"] == 1.0
    assert rows["124 M", "nanoGPT compiled"]["skipped"] == "nanoGPT path not given"
    assert rows["half generated", "ours, every 8"]["median"] > 0
    assert "gate transitive step / plain step" in capsys.readouterr().out


def test_a_wrong_kernel_is_found() -> None:
    good = parity.compare("transformer", FORM, FORM, "fp32", ((5, 3), (4,)), "cpu")
    assert good["ok"]
    wrong = parity.compare(
        "transformer", {**FORM, "rope_base": 50.0}, FORM, "fp32", ((5, 3),), "cpu"
    )
    assert not wrong["ok"]


FORM = {"width": 32, "depth": 1, "heads": 2, "attention": "sdpa"}


def test_without_a_device_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit, match="there is no CUDA device; --dry"):
        gpu.main()


def test_operations_per_token_are_those_of_the_reference_model() -> None:
    counted = 124_000_000 + 50_304 * 768  # a second table that is only looked up
    assert training.flops_per_token(counted, training.SMALL) == pytest.approx(0.857e9, rel=0.01)


def test_shares_need_a_rate() -> None:
    assert training.shares(Row("t", "ours", "x", skipped="no"), training.SMALL, None) == {}  # type: ignore[arg-type]
