"""`hyena.hyena` through a recipe: it trains, saves, loads and generates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import loretta_framework as loretta
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

SMALL = {"width": 32, "depth": 2, "filter_width": 16, "filter_bands": 8, "filter_tokens": 32}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "packed": ("packed", SMALL),
    "padded": ("padded", {**SMALL, "order": 3}),
    "hybrid": ("packed", {**SMALL, "attention_every": 2}),
}


@pytest.mark.parametrize(("layout", "settings"), CASES.values(), ids=CASES)
def test_ten_steps(layout: str, settings: dict[str, Any], tmp_path: Path) -> None:
    write_bijection_world(tmp_path, count=80)
    recipe = write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": "ab", "bc": "bc"},
        objectives=[{"kind": "causal", "share": 0.5}, {"kind": "transitive", "share": 0.5}],
        steps=10,
        batch_tokens=200,
        backbone={"kind": "hyena.hyena", "settings": settings},
    )
    changes = [f"train.layout={layout}", "train.threads=1", "optimizer.warmup_steps=1"]
    loretta.train(loretta.load_recipe(recipe, changes), run_dir=tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert losses[-1] < losses[0]
    model = loretta.load(tmp_path / "run")
    made = model.generate({"c": "abcd"}, to="a", num_samples=3, seed=0)
    assert [len(text) for text in made] == [4, 4, 4]
    assert made == model.generate({"c": "abcd"}, to="a", num_samples=3, seed=0)
