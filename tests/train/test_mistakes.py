"""Mistakes that show only after the run directory was made, and state that must not change."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import loretta_framework as loretta
from loretta_framework.api.errors import (
    CheckpointError,
    LorettaError,
    MissingDependencyError,
    RecipeError,
)
from loretta_framework.cli.main import main
from loretta_framework.recipe.load import load_recipe
from loretta_framework.testing.toy_worlds import write_recipe
from loretta_framework.train.run import FinishedRun, train

Runner = Callable[..., FinishedRun]


def test_a_late_mistake_does_not_block_the_directory(run: Runner) -> None:
    for override in ('freeze=["nope"]', "init_from=gone", 'optimizer.groups=[{match: "nope"}]'):
        with pytest.raises(LorettaError):
            run("again", override)
    assert run("again").steps == 16


def test_a_mistake_of_the_first_step_does_not_block_the_directory(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(MissingDependencyError, match="flash"):
        run("again", "backbone.settings.attention=flash")
    assert run("again").steps == 16


@pytest.fixture
def fitted(world: Path) -> Path:
    """The world's recipe with a learning tokenizer for `b`."""
    recipe = json.loads((world / "small.yaml").read_text())
    recipe["modalities"]["b"] = {
        "kind": "text.sentencepiece", "settings": {"vocab_size": 40, "max_tokens": 8},
    }  # fmt: skip
    (world / "fitted.yaml").write_text(json.dumps(recipe))
    return world / "fitted.yaml"


def execute(recipe: Path, run_dir: Path, *overrides: str, resume: bool = False) -> FinishedRun:
    torch.set_num_threads(1)
    loaded = load_recipe(recipe, ["train.threads=1", *overrides])
    return train(loaded, run_dir, resume=resume, say=lambda _: None)


def test_a_tokenizer_that_cannot_be_fitted_is_the_recipes_fault(fitted: Path, world: Path) -> None:
    with pytest.raises(RecipeError, match="the tokenizer cannot be fitted") as caught:
        execute(fitted, world / "run", "modalities.b.settings.vocab_size=8")
    assert caught.value.problems[0].where == "modalities.b"
    assert execute(fitted, world / "run").steps == 16


def test_weights_refuse_another_tokenizer(fitted: Path, world: Path) -> None:
    run = execute(fitted, world / "run", "train.steps=6").directory
    other = execute(
        fitted, world / "other", "train.steps=6", "modalities.b.settings.model_type=bpe"
    ).directory
    assert loretta.load(run).generate({"a": "abcd"}, to="b")
    saved = run / "tokenizers" / "b"
    for path in (other / "tokenizers" / "b").iterdir():
        (saved / path.name).write_bytes(path.read_bytes())
    words = "the tokenizer of 'b' is not the one that the weights were trained with"
    with pytest.raises(CheckpointError, match=words):
        loretta.load(run)
    with pytest.raises(CheckpointError, match=words):
        execute(fitted, run, "train.steps=6", resume=True)


def test_fit_does_not_touch_the_tokenizers_of_a_run(
    fitted: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    execute(fitted, world / "runs/small", "train.steps=6")
    assert main(["fit", "fitted.yaml", "--out", "runs/small/tokenizers"]) == 2
    assert "these tokenizers belong to a run" in capsys.readouterr().err
    assert main(["fit", "fitted.yaml"]) == 0
    assert "written to runs/small-tokenizers" in capsys.readouterr().out
    assert (world / "runs/small-tokenizers/b").is_dir()


def test_rows_without_any_loss_change_nothing(world: Path) -> None:
    recipe = write_recipe(
        world / "weightless.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": ["a"], "bc": ["b", "c"]},
        objectives=[{"kind": "causal", "settings": {"first_segment_weight": 0.0}}],
        steps=4,
        batch_tokens=12,  # one row a step: some steps have a lone `a` only, which has no weight
        allow_disconnected=True,
    )
    run = execute(recipe, world / "run", "train.accumulate=2")
    assert run.steps == 4


def test_a_resumed_run_keeps_what_was_chosen_for_it(run: Runner) -> None:
    done = run("done").directory
    for path in (done / "checkpoints").iterdir():
        if path.name > "step-00000010":
            shutil.rmtree(path)
    plan = json.loads((done / "plan.json").read_text())
    for reason in plan["reasons"]:
        if reason["key"] == "train.layout":
            reason["choice"] = "padded"
    (done / "plan.json").write_text(json.dumps(plan))
    told: list[str] = []
    run("done", resume=True, say=told.append)
    assert "train.layout = padded (chosen when the run started)" in told


def test_a_lone_link_needs_a_pseudo_weight(run: Runner) -> None:
    with pytest.raises(RecipeError, match="link_only must come with a pseudo_weight above 0"):
        run("link", "objectives.transitive.settings.link_only=true")
