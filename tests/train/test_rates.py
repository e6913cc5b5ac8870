"""`RUN/rates.json`: rates achieved beside those planned, whole also after a resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.checkpoint.store import load_checkpoint, save_checkpoint
from loretta_framework.train.loop import Trainer
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]


def rates(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "rates.json").read_text())
    return found


def cut(directory: Path, step: int) -> None:
    """As a kill after the checkpoint of `step` leaves it."""
    for path in sorted((directory / "checkpoints").iterdir()):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)


def test_a_run_reports_what_it_was_given(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, str]] = []
    original = Trainer._rows

    def watched(self: Trainer, samples: Any) -> Any:
        given.extend(
            (task, sample.key.split("/")[0]) for task, part in samples.items() for sample in part
        )
        return original(self, samples)

    monkeypatch.setattr(Trainer, "_rows", watched)
    told: list[str] = []
    done = run("done", "data.train.ab.share=0.8", "data.train.bc.share=0.2", say=told.append)
    found = rates(done.directory)
    assert (found["step"], found["edges_since_step"]) == (16, 0)
    for item in found["sets"]:
        of_set = [task for task, name in given if name == item["name"]]
        assert item["samples"] == len(of_set) > 0
        assert item["tasks"] == {
            task: of_set.count(task) for task in ("causal", "causal_masked", "transitive")
        }
        assert item["achieved_share"] == pytest.approx(len(of_set) / len(given))
    assert [item["planned_share"] for item in found["sets"]] == pytest.approx([0.8, 0.2])
    edges = {(item["task"], item["edge"]): item["weighted_tokens"] for item in found["edges"]}
    assert {edge for task, edge in edges if task == "causal"} >= {"a->b", "b->a", "b->c", "c->b"}
    assert any(task == "transitive" for task, _ in edges)
    assert all(tokens > 0 for tokens in edges.values())
    assert sum(item["share"] for item in found["edges"]) == pytest.approx(1)
    table = "\n".join(told)
    assert "planned share" in table
    assert any(line.split()[:1] == ["ab"] and "80.0%" in line for line in told)
    assert any(line.split()[:2] == ["causal", "a->b"] for line in told)


def test_rates_are_whole_after_a_resume(run: Runner) -> None:
    whole = run("whole").directory
    early = whole.parent / "early"
    shutil.copytree(whole, early)
    cut(early, 10)
    (early / "rates.json").unlink()
    run("early", resume=True)
    assert rates(early) == rates(whole)


def test_rates_of_a_run_that_was_killed_are_those_of_its_checkpoint(
    run: Runner, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    original = Trainer.one

    def dying(self: Trainer, samples: Any) -> None:
        if self.step == 12:
            raise KeyboardInterrupt
        original(self, samples)

    monkeypatch.setattr(Trainer, "one", dying)
    with pytest.raises(KeyboardInterrupt):
        run("killed")
    assert rates(world / "runs" / "killed")["step"] == 10


def test_a_checkpoint_that_did_not_count_loads_and_says_so(run: Runner) -> None:
    whole = run("whole").directory
    cut(whole, 10)
    root = whole / "checkpoints"
    old = load_checkpoint(root / "step-00000010")
    del old.state["edge_tokens"]
    save_checkpoint(root, 10, old.tensors, old.state)
    told: list[str] = []
    run("whole", resume=True, say=told.append)
    assert any("did not count tokens by edge" in text and "from step 10" in text for text in told)
    found = rates(whole)
    assert (found["step"], found["edges_since_step"]) == (16, 10)
    assert any("counted from step 10" in text for text in told)
    assert found["sets"] == rates(run("other").directory)["sets"]


def test_rates_that_cannot_be_written_stop_the_run(
    run: Runner, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    original = Trainer.one

    def blocked(self: Trainer, samples: Any) -> None:
        (world / "runs" / "blocked" / "rates.json").mkdir(exist_ok=True)
        original(self, samples)

    monkeypatch.setattr(Trainer, "one", blocked)
    with pytest.raises(RunDirectoryError, match="the achieved rates cannot be written") as caught:
        run("blocked")
    assert "rates.json" in caught.value.where
    assert (world / "runs" / "blocked" / "checkpoints" / "step-00000005").is_dir()
