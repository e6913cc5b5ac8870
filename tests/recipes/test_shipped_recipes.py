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
from loretta_framework.shards.prepare import prepare
from loretta_framework.train.run import TINY, train

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))

# Ten steps of float32 on another processor differ by rounding only. A code that a tokenizer picks
# otherwise because of it changes a step's loss by less than this.
RELATIVE = 2e-3


def test_recipes_are_found() -> None:
    assert len(RECIPES) >= 5


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes beside freshly prepared data, as in a checkout after `make demo`."""
    place = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "recipes", place / "recipes")
    prepare("svl-digits", ROOT / "data" / "svl-digits-speech", place / "data" / "svl-digits")
    return place


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_ten_steps_give_the_golden_losses(checkout: Path, recipe: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    overrides = [*TINY, "train.threads=1", "data.workers=0", "callbacks=[]"]
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
        golden.write_text(json.dumps({"reduction": list(TINY), "losses": losses}, indent=1) + "\n")
    wanted = json.loads(golden.read_text())
    assert wanted["reduction"] == list(TINY)
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
        assert plan.backbone == reference.backbone, name
        budget = sum(task.share for task in plan.tasks)
        assert budget == pytest.approx(1.0), name
    missing = {name: plan.missing_pairs for name, plan in plans.items()}
    assert missing["svl-digits-oracle"] == ()
    assert all(
        pairs == (("image", "speech"),) for name, pairs in missing.items() if "oracle" not in name
    )
