"""What a callback remembers lies in checkpoints, and comes back when a run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import CheckpointError, PluginError
from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.testing.broken_plugins import write_plugin
from loretta_framework.train.callback_state import callback_states, restore_callbacks
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]

PLUGIN = """
from loretta_framework.api import CallbackSpec, Settings, hookimpl


class NoSettings(Settings):
    pass


class Counter:
    def __init__(self, settings, context):
        self.steps, self.loss = 0, 0.0

    def on_start(self, run):
        pass

    def on_step(self, run, metrics):
        self.steps, self.loss = self.steps + 1, self.loss + metrics["loss"]

    def on_end(self, run):
        (run.directory / "counted.txt").write_text(f"{self.steps} {self.loss!r}")

    def state(self):
        return {"steps": self.steps, "loss": self.loss}

    def restore(self, state):
        self.steps, self.loss = state["steps"], state["loss"]


@hookimpl
def register_callbacks(register):
    here = "loretta_plugin_counts"
    register(CallbackSpec("counts.steps", 1, "Counts.", f"{here}:NoSettings", f"{here}:Counter"))
"""


def test_a_resumed_count_equals_the_uninterrupted_one(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    write_plugin(site, "counts", PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    counting = "callbacks=[{kind: counts.steps}]"
    whole = run("whole", counting).directory
    resumed = whole.parent / "resumed"
    shutil.copytree(whole, resumed)
    for step in (15, 16):
        shutil.rmtree(resumed / "checkpoints" / f"step-{step:08d}")
    (resumed / "counted.txt").unlink()
    run("resumed", counting, resume=True)
    counted = (whole / "counted.txt").read_text()
    assert counted.startswith("16 ")
    assert (resumed / "counted.txt").read_text() == counted
    last = load_checkpoint(resumed / "checkpoints" / "step-00000016").state["callbacks"]
    assert last[0]["kind"] == "counts.steps"
    assert last[0]["state"]["steps"] == 16
    for step in (15, 16):
        shutil.rmtree(resumed / "checkpoints" / f"step-{step:08d}")
    said: list[str] = []
    run("resumed", "callbacks=[]", resume=True, say=said.append)
    assert any("a state of the callback 'counts.steps', which is not used" in s for s in said)


class Quiet:
    def on_start(self, run: Any) -> None:
        """Nothing."""

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def on_end(self, run: Any) -> None:
        """Nothing."""


class Remembers(Quiet):
    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def state(self) -> dict[str, Any]:
        return {"value": self.value}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state["value"] == "wrong":
            raise ValueError("the value is of other settings")
        self.value = state["value"]


def test_each_callback_of_a_kind_gets_its_own_state_back() -> None:
    kinds = ["p.a", "p.quiet", "p.b", "p.a"]
    saved = callback_states(kinds, [Remembers(1), Quiet(), Remembers(2), Remembers(3)])
    assert saved == [
        {"kind": "p.a", "state": {"value": 1}},
        {"kind": "p.b", "state": {"value": 2}},
        {"kind": "p.a", "state": {"value": 3}},
    ]
    fresh, said = [Remembers() for _ in range(4)], []
    restore_callbacks(
        ["p.b", "p.a", "p.a", "p.new"], fresh, json.loads(json.dumps(saved)), said.append
    )
    assert [callback.value for callback in fresh] == [2, 1, 3, 0]
    assert said == ["the checkpoint holds no state of the callback 'p.new': it starts anew"]


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, {1: "a"}])
def test_a_state_that_is_no_plain_data_is_refused(value: Any) -> None:
    with pytest.raises(
        PluginError, match=r"state of the callback 'p\.a' must be plain JSON"
    ) as told:
        callback_states(["p.a"], [Remembers(value)])
    assert "take 'p.a' out of the recipe's callbacks" in str(told.value)


def test_a_state_that_is_refused_stops_the_resume() -> None:
    saved = [{"kind": "p.a", "state": {"value": "wrong"}}]
    with pytest.raises(
        CheckpointError, match="cannot go on from its saved state: the value"
    ) as told:
        restore_callbacks(["p.a"], [Remembers()], saved, print)
    assert "give it the settings that it had" in str(told.value)
