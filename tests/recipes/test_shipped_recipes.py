"""Every shipped recipe checks, and ten steps of it give the committed losses.

A golden file changes only with a written reason (CONTRIBUTING, classes of breaking change). To write
it anew: LORETTA_WRITE_GOLDEN=1 pytest tests/recipes
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.shards.prepare import parse, prepare
from loretta_framework.train.run import TINY, train

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
LARGE = ["mugen"]
"""Ten steps of these take hours here. Their plan is checked, and `<name>-tiny` stands in for training."""

OTHER_BACKBONES = ["svl-digits-mamba", "svl-digits-hyena"]

# Ten steps of float32 on another processor differ by rounding only. A code that a tokenizer picks
# otherwise because of it changes a step's loss by less than this.
RELATIVE = 2e-3

SMALLER = {"mugen-tiny": ["modalities.video.settings.steps=8"]}
"""What is reduced beyond `TINY`. Training a tokenizer amplifies rounding until codes differ."""


def test_recipes_are_found() -> None:
    assert len(RECIPES) >= 5


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, mugen: Path) -> Path:
    """The recipes beside freshly prepared data, as in a checkout after `make demo`."""
    place = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "recipes", place / "recipes")
    prepare("svl-digits", ROOT / "data" / "svl-digits-speech", place / "data" / "svl-digits")
    # The recipe tells shards apart by their last digit, so there must be ten of them.
    options = parse("mugen", ["samples_per_shard=2", "sample_rate=8000"])
    prepare("mugen", mugen, place / "data" / "mugen", 0, options)
    return place


@pytest.mark.parametrize(
    "recipe", [path for path in RECIPES if path.stem not in LARGE], ids=lambda path: path.stem
)
def test_ten_steps_give_the_golden_losses(checkout: Path, recipe: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    smaller = [*TINY, *SMALLER.get(recipe.stem, [])]
    overrides = [*smaller, "train.threads=1", "data.workers=0", "callbacks=[]"]
    loaded = load_recipe(checkout / recipe.relative_to(ROOT), overrides)
    run = train(loaded, tmp_path / "run", say=lambda _: None)
    lines = [
        json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()
    ]
    losses = {
        key: [line.get(key) for line in lines]
        for key in sorted({key for line in lines for key in line})
        if key.startswith(("loss", "validation"))
    }
    golden = recipe.with_suffix(".golden.json")
    if os.environ.get("LORETTA_WRITE_GOLDEN"):
        golden.write_text(json.dumps({"reduction": smaller, "losses": losses}, indent=1) + "\n")
    wanted = json.loads(golden.read_text())
    assert wanted["reduction"] == smaller
    assert set(losses) == set(wanted["losses"])
    for key, values in wanted["losses"].items():
        assert [v is None for v in losses[key]] == [v is None for v in values], key
        got = [v for v in losses[key] if v is not None]
        assert got == pytest.approx([v for v in values if v is not None], rel=RELATIVE), key


def test_the_arms_spend_the_same_steps_and_tokens(checkout: Path) -> None:
    plans = {
        path.stem: make_plan(load_recipe(checkout / path.relative_to(ROOT)))
        for path in RECIPES
        if path.stem.startswith("svl-digits")
    }
    reference = plans["svl-digits"]
    for name, plan in plans.items():
        assert (plan.steps, plan.batch_tokens, plan.seed) == (
            reference.steps,
            reference.batch_tokens,
            reference.seed,
        ), name
        assert plan.vocabulary == reference.vocabulary, name
        if name not in OTHER_BACKBONES:
            assert plan.backbone == reference.backbone, name
        budget = sum(task.share for task in plan.tasks)
        assert budget == pytest.approx(1.0), name
    missing = {name: plan.missing_pairs for name, plan in plans.items()}
    assert missing["svl-digits-oracle"] == ()
    assert all(
        pairs == (("image", "speech"),) for name, pairs in missing.items() if "oracle" not in name
    )


def test_the_plan_of_mugen(checkout: Path) -> None:
    """512 video tokens of 2,048 codes, 1,024 pieces of text; video and audio never meet."""
    full, tiny = (
        make_plan(load_recipe(checkout / "recipes" / f"{name}.yaml"))
        for name in ("mugen", "mugen-tiny")
    )
    assert full.missing_pairs == tiny.missing_pairs == (("video", "audio"),)
    blocks = [(block.vocab_size, block.max_tokens) for block in full.vocabulary.blocks]
    assert blocks == [(2048, 512), (1024, 128), (1024, 67)]
    for plan in (full, tiny):
        seen, heard = (data for data in plan.sets if data.split == "train")
        assert (seen.modalities, heard.modalities) == (("video", "text"), ("text", "audio"))
        assert not set(seen.shards) & set(heard.shards)  # no clip is both seen and heard
