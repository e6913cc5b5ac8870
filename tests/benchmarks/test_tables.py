"""The tables of docs/benchmarks.md are what the results give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tables
from benchmarks.results import RESULTS

NAMES = ("train-cpu", "decode-cpu", "rollout", "mamba", "packing", "gpu")


def result(**more: Any) -> dict[str, Any]:
    row = {"table": "mid", "name": "ours", "unit": "tokens/s", "median": 1234.5, "min": 1200.0}
    row |= {"max": 1300.0, "facts": {"loss": 1.23456}}
    return {
        "date": "2026-11-21",
        "command": "python -m benchmarks.x",
        "commit": "abc",
        "machine": {"processor": "Some CPU", "cores": 2, "flags": ["avx2"]},
        "versions": {"torch": "2.13.0"},
        "clean": False,
        "others": {"before": 0.3, "most": 0.2},
        "rows": [
            row,
            {"table": "mid", "name": "nanoGPT", "unit": "tokens/s", "skipped": "path not given"},
            {"table": "checks", "name": "copy", "unit": "", "facts": {"ok": True, "tb_per_s": 4.3}},
        ],
        "gates": [
            {"name": "mid", "gate": 1.4, "moonshot": 2.0, "better": "higher", "median": 1.1, "min": 1.0,
             "max": 1.2, "verdict": "missed", "rows": ["ours", "HF"]},
            {"name": "nano", "gate": 1.0, "moonshot": None, "better": "lower", "verdict": "not measured",
             "why": "nanoGPT: path not given"},
        ],
    } | more  # fmt: skip


def test_a_result_becomes_tables(tmp_path: Path) -> None:
    (tmp_path / "2026-11-20-x.json").write_text(json.dumps(result(commit="old")))
    (tmp_path / "2026-11-21-x.json").write_text(json.dumps(result()))
    text = "# Page\n\n<!-- table: x -->\nstale\n<!-- end -->\n\nafter\n"
    made = tables.page(text, tmp_path)
    assert "stale" not in made
    assert "commit abc; not clean: others used at most 20% of it" in made
    assert "Some CPU, 2 cores (avx2)" in made
    assert "| mid | tokens/s, median | min to max | loss |" in made
    assert "| ours | 1,234 | 1,200 to 1,300 | 1.23 |" in made
    assert "| nanoGPT | - | skipped: path not given | |" in made
    assert "| mid<br>ours / HF | 1.1 (1 to 1.2) | ≥ 1.4 | ≥ 2 | **missed** |" in made
    assert "| nano | nanoGPT: path not given | ≤ 1 | - | not measured |" in made
    assert "| copy | ok True, tb per s 4.3 |" in made
    assert made.endswith("<!-- end -->\n\nafter\n")
    assert tables.page(made, tmp_path) == made


def test_what_was_never_measured_says_so(tmp_path: Path) -> None:
    made = tables.page("<!-- table: x -->\n<!-- end -->\n", tmp_path)
    assert made == "<!-- table: x -->\n\n_Not measured yet._\n\n<!-- end -->\n"


def test_the_page_is_what_the_results_give() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.page(text, RESULTS) == text, "run python -m benchmarks.tables"
    assert all(f"<!-- table: {name} -->" in text for name in NAMES)


def test_a_page_that_is_stale_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table: never-measured -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(tables, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    with pytest.raises(SystemExit, match="is not what the results give"):
        tables.main()
    monkeypatch.setattr("sys.argv", ["tables"])
    tables.main()
    assert "Not measured yet" in page.read_text()
