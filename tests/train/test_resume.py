"""A resumed run equals the uninterrupted one bit for bit; what would change it is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loretta_framework.api.errors import RunDirectoryError, StoppedOnRequest, TrainingError
from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.train.loop import Trainer
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
CLOCK = {"tokens_per_second", "time"}


def metrics(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def assert_same(one: Path, other: Path, step: int = 16) -> None:
    first, second = (load_checkpoint(d / "checkpoints" / f"step-{step:08d}") for d in (one, other))
    # the number of loader processes is part of the recipe, not of what was computed
    for loaded in (first, second):
        del loaded.state["recipe_hash"], loaded.state["plan_hash"]
    assert first.state == second.state
    assert {g: set(t) for g, t in first.tensors.items()} == {
        g: set(t) for g, t in second.tensors.items()
    }
    for group, tensors in first.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.tensors[group][name]), f"{group}/{name}"
    assert metrics(one) == metrics(other)


def cut(directory: Path, step: int) -> None:
    """As a kill right after the checkpoint of `step` would leave it, with metrics ahead of it."""
    for path in sorted((directory / "checkpoints").iterdir()):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)


@pytest.mark.parametrize("step", [5, 10, 15])
@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_equals_uninterrupted(run: Runner, step: int, workers: int) -> None:
    """Checkpoints at 5, 10 and 15 lie inside the rollout pools that begin at 4, 8 and 12."""
    whole = run("whole").directory
    resumed = whole.parent / "resumed"
    shutil.copytree(whole, resumed)
    cut(resumed, step)
    assert_differs(whole, resumed)
    run("resumed", f"data.workers={workers}", resume=True)
    assert_same(whole, resumed)


def assert_differs(whole: Path, resumed: Path) -> None:
    assert not (resumed / "checkpoints" / "step-00000016").exists()
    assert (whole / "checkpoints" / "step-00000016").exists()


def test_average_weights_are_restored_too(run: Runner) -> None:
    options = [
        "objectives.transitive.settings.generator=average",
        "objectives.transitive.settings.reuse_k=2",
    ]
    whole = run("whole", *options).directory
    shutil.copytree(whole, whole.parent / "resumed")
    cut(whole.parent / "resumed", 10)
    run("resumed", *options, resume=True)
    assert_same(whole, whole.parent / "resumed")


def test_a_run_with_another_seed_differs(run: Runner) -> None:
    """The comparison above can fail."""
    one, other = run("one").directory, run("other", "train.seed=1").directory
    with pytest.raises(AssertionError):
        assert_same(one, other)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_saves_the_very_step_and_resumes_exactly(
    run: Runner, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole = run("whole").directory
    original = Trainer.one

    def stopping(self: Trainer, samples: Any) -> None:
        original(self, samples)
        if self.step == 7:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "one", stopping)
    with pytest.raises(
        StoppedOnRequest, match=rf"stopped by {number.name} after step 7; the state is saved"
    ):
        run("stopped")
    monkeypatch.setattr(Trainer, "one", original)
    stopped = whole.parent / "stopped"
    assert (stopped / "checkpoints" / "step-00000007").is_dir()
    run("stopped", resume=True)
    assert_same(whole, stopped)


def test_a_finished_run_is_left_as_it_is(run: Runner) -> None:
    done = run("done").directory
    before = {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(done.rglob("checkpoints/**/*"))
    }
    told: list[str] = []
    again = run("done", resume=True, say=told.append)
    assert again.steps == 16
    assert "the run is finished: 16 of 16 steps" in told
    assert before == {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(done.rglob("checkpoints/**/*"))
    }


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("train.seed=3", "train.seed"),
        ("train.batch_tokens=150", "train.batch_tokens"),
        ("data.train.ab.share=0.9", "data.train"),
        ("objectives.transitive.share=0.1", "objectives"),
        ("modalities.b.settings.max_tokens=5", "vocabulary"),
        ("backbone.settings.width=64", "backbone"),
        ("train.steps=20", "start_step"),
    ],
)
def test_changes_that_alter_order_or_vocabulary_are_refused(
    run: Runner, override: str, key: str
) -> None:
    done = run("done").directory
    kept = (done / "plan.json").read_bytes(), (done / "recipe.yaml").read_bytes()
    with pytest.raises(RunDirectoryError, match="cannot be resumed") as caught:
        run("done", override, resume=True)
    assert caught.value.exit_code == 2
    assert key in str(caught.value)
    assert kept == ((done / "plan.json").read_bytes(), (done / "recipe.yaml").read_bytes())


def test_allowed_changes_are_named(run: Runner) -> None:
    done = run("done").directory
    cut(done, 10)
    told: list[str] = []
    run("done", "optimizer.lr=1e-4", resume=True, say=told.append)
    assert any("optimizer.lr" in text and "0.0001" in text for text in told)


def test_a_directory_that_holds_a_run_is_refused_without_resume(run: Runner) -> None:
    run("done")
    with pytest.raises(RunDirectoryError, match="already holds a run") as caught:
        run("done")
    assert "--resume" in caught.value.fix


def test_a_non_finite_loss_stops_before_the_update(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loretta_framework.model.any_to_any import AnyToAny

    original, calls = AnyToAny.nll, []

    def poisoned(self: AnyToAny, hidden: torch.Tensor, batch: Any) -> torch.Tensor:
        calls.append(1)
        nll = original(self, hidden, batch)
        if len(calls) < 12:
            return nll
        snapshot.update({k: v.clone() for k, v in self.state_dict().items()})
        models.append(self)
        return nll * float("nan")

    snapshot: dict[str, torch.Tensor] = {}
    models: list[AnyToAny] = []
    monkeypatch.setattr(AnyToAny, "nll", poisoned)
    with pytest.raises(TrainingError, match="the loss is not finite on") as caught:
        run("poisoned")
    assert caught.value.where.startswith("step ")
    assert caught.value.exit_code == 1
    assert all(torch.equal(v, snapshot[k]) for k, v in models[0].state_dict().items())
