"""Sums and one division: accumulation, layout and shares change nothing they should not."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from loretta_framework.api.errors import RecipeError
from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.recipe.schema import Optimizer
from loretta_framework.train.optim import learning_rate_factor
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
PLAIN = ("backbone.settings.dropout=0.0", "train.steps=3", "checkpoint.every_steps=3")


def weights(directory: Path, step: int = 3) -> dict[str, torch.Tensor]:
    return load_checkpoint(directory / "checkpoints" / f"step-{step:08d}").tensors["model"]


@pytest.mark.parametrize(
    "change", ["train.accumulate=2", "train.accumulate=5", "train.layout=padded"]
)
def test_micro_batches_and_layout_give_the_same_update(run: Runner, change: str) -> None:
    one = weights(run("one", *PLAIN).directory)
    other = weights(run("other", *PLAIN, change).directory)
    start = weights(run("start", *PLAIN, "optimizer.lr=1e-30").directory)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=2e-5, msg=name)
    moved = max(float((one[n] - start[n]).abs().max()) for n in one)
    assert moved > 1e-3  # the tolerance above is far below what a step does


def test_metrics_name_every_edge_and_count_what_was_generated(run: Runner) -> None:
    directory = run("run").directory
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 17))
    assert all(100 <= line["tokens"] <= 200 for line in lines)
    early, late = lines[3], lines[-1]
    assert not any("transitive" in key or "generated" in key for key in early)
    assert "loss/transitive/c->a" in late or "loss/transitive/a->c" in late
    assert late["generated_tokens/b->a"] + late["generated_tokens/b->c"] > 0
    for line in lines:
        assert 0 < line["loss"] < 10
        assert line["grad_norm"] > 0


def test_the_training_stream_never_holds_the_missing_pair_but_as_pseudo(run: Runner) -> None:
    directory = run("run").directory
    for text in (directory / "metrics.jsonl").read_text().splitlines():
        for key in json.loads(text):
            if key.startswith("loss/causal") and key.endswith(("a->c", "c->a")):
                raise AssertionError(key)


def test_frozen_parameters_stay_and_bad_patterns_are_refused(run: Runner) -> None:
    done = run("frozen", *PLAIN, 'freeze=["backbone.blocks.*"]').directory
    start = weights(run("start", *PLAIN, "optimizer.lr=1e-30").directory)
    for name, tensor in weights(done).items():
        assert torch.equal(tensor, start[name]) == name.startswith("backbone.blocks."), name
    with pytest.raises(RecipeError, match=r"the pattern 'bakbone\.\*' matches no parameter"):
        run("bad", 'freeze=["bakbone.*"]')
    with pytest.raises(RecipeError, match="every parameter is frozen"):
        run("all", 'freeze=["*"]')
    with pytest.raises(
        RecipeError, match=r"the pattern 'nothing\.\*' matches no trained parameter"
    ):
        run("group", 'optimizer.groups=[{match: "nothing.*", lr: 1.0}]')


def test_weights_of_another_run_start_a_new_one(run: Runner, world: Path) -> None:
    first = weights(run("first", *PLAIN).directory)
    again = run("again", *PLAIN, "optimizer.lr=1e-30", "init_from=runs/first").directory
    for name, tensor in weights(again).items():
        torch.testing.assert_close(tensor, first[name], rtol=0, atol=1e-6)


def test_learning_rate_warms_up_then_decays() -> None:
    settings = Optimizer(warmup_steps=100, final_lr_fraction=0.1)
    factors = [learning_rate_factor(step, 2000, settings) for step in range(2000)]
    assert factors[0] == pytest.approx(1 / 101)
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 100
    assert factors[1050] == pytest.approx(0.55, abs=0.01)
    assert factors[-1] == pytest.approx(0.1, abs=0.001)
    assert all(a >= b for a, b in pairwise(factors[100:]))
    short = [learning_rate_factor(step, 20, settings) for step in range(20)]
    assert short.index(max(short)) == 2  # warm-up is cut to a tenth
