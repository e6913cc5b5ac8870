"""Both kinds, and hybrids, through a recipe: they train, save, load and generate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loretta_plugin_mamba.settings import Mamba2Settings
from pydantic import ValidationError

import loretta_framework as loretta
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

SMALL = {"width": 32, "depth": 2, "head_dim": 16, "state": 16, "chunk": 8}
HYBRID = {"attention_every": 2, "attention": {"kind": "transformer", "settings": {"heads": 2}}}
BACKBONES = {
    "mamba2": {"kind": "mamba.mamba2", "settings": SMALL},
    "mamba1": {"kind": "mamba.mamba1", "settings": {"width": 32, "depth": 2, "state": 4}},
    "hybrid": {"kind": "mamba.mamba2", "settings": {**SMALL, **HYBRID}},
}


@pytest.mark.parametrize(
    ("name", "layout"),
    [("mamba2", "packed"), ("mamba2", "padded"), ("mamba1", "packed"), ("hybrid", "packed")],
)
def test_ten_steps(name: str, layout: str, tmp_path: Path) -> None:
    write_bijection_world(tmp_path, count=80)
    recipe = write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": "ab", "bc": "bc"},
        objectives=[{"kind": "causal", "share": 0.5}, {"kind": "transitive", "share": 0.5}],
        steps=10,
        batch_tokens=200,
        backbone=BACKBONES[name],
    )
    changes = [f"train.layout={layout}", "train.threads=1", "optimizer.warmup_steps=1"]
    loretta.train(loretta.load_recipe(recipe, changes), run_dir=tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert losses[-1] < losses[0]
    model = loretta.load(tmp_path / "run")
    made = model.generate({"c": "abcd"}, to="a", num_samples=3, seed=0)
    assert [0 < len(text) <= 4 for text in made] == [True] * 3
    assert made == model.generate({"c": "abcd"}, to="a", num_samples=3, seed=0)


def test_a_head_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="head_dim must divide expand x width, but 64 does not 80"
    ):
        Mamba2Settings(width=40)


def test_every_kth_block_is_attention_of_the_same_width() -> None:
    settings = Mamba2Settings(width=32, depth=7, head_dim=16, attention_every=3)
    assert list(settings.attention_layers) == [2, 5]
    inner = {"heads": 4, "width": 32, "depth": 1, "final_norm": False}
    assert settings.attention.settings == inner
    assert Mamba2Settings.model_validate_json(settings.model_dump_json()) == settings
    assert list(Mamba2Settings(width=32).attention_layers) == []


def test_an_attention_block_of_another_width_is_refused() -> None:
    node = {"kind": "transformer", "settings": {"width": 48}}
    with pytest.raises(ValidationError, match="width must be 32 here, but is 48"):
        Mamba2Settings.model_validate({"width": 32, "attention_every": 2, "attention": node})
