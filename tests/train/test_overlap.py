"""Segments made a step early: by which weights, how old they get, and that a restart is exact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.train.ahead import Beside, with_next
from loretta_framework.train.run import FinishedRun
from loretta_framework.train.tasks import Rollouts

Runner = Callable[..., FinishedRun]
SETTINGS = "objectives.transitive.settings"
OVERLAP = (f"{SETTINGS}.overlap=true", "checkpoint.every_steps=1", "checkpoint.keep_last=20")


def metrics(directory: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["tokens_per_second"]
    return lines


def state(directory: Path, step: int = 16) -> Any:
    return load_checkpoint(directory / "checkpoints" / f"step-{step:08d}")


def test_a_restart_at_every_step_of_a_window_is_exact(run: Runner) -> None:
    """Segments of steps 8 to 11 are made in step 7, which begins after the checkpoint of 7."""
    whole = run("whole", *OVERLAP).directory
    for step in (7, 8, 9, 10, 11):
        resumed = whole.parent / f"from-{step}"
        shutil.copytree(whole, resumed)
        for path in (resumed / "checkpoints").iterdir():
            if int(path.name.removeprefix("step-")) > step:
                shutil.rmtree(path)
        run(resumed.name, *OVERLAP, resume=True)
        assert metrics(resumed) == metrics(whole)
        one, other = state(whole), state(resumed)
        for group, tensors in one.tensors.items():
            assert tensors.keys() == other.tensors[group].keys()
            for name, tensor in tensors.items():
                assert torch.equal(tensor, other.tensors[group][name]), f"{group}/{name}"


def test_overlap_changes_the_run(run: Runner) -> None:
    """The comparison above can fail."""
    assert metrics(run("with", *OVERLAP).directory) != metrics(run("without").directory)


@pytest.mark.parametrize(("start", "steps"), [(0.25, [3, 7, 11]), (0.0, [0, 3, 7, 11])])
def test_segments_are_made_by_the_weights_before_the_update(
    run: Runner, monkeypatch: pytest.MonkeyPatch, start: float, steps: list[int]
) -> None:
    """In the step before; the first step of a run has none before it."""
    seen: list[dict[str, torch.Tensor]] = []
    original = Rollouts.__call__

    def watched(self: Rollouts, requests: Any, *given: Any, **more: Any) -> Any:
        assert self.model.training
        seen.append({k: v.clone() for k, v in self.model.state_dict().items()})
        made = original(self, requests, *given, **more)
        assert self.model.training
        return made

    monkeypatch.setattr(Rollouts, "__call__", watched)
    directory = run("run", *OVERLAP, f"{SETTINGS}.start={start}").directory
    assert len(seen) == len(steps)
    for weights, step in zip(seen, steps, strict=True):
        if step == 0:
            continue
        saved = state(directory, step).tensors["model"]
        assert all(torch.equal(weights[name], tensor) for name, tensor in saved.items())


@pytest.mark.parametrize(
    ("options", "oldest"),
    [
        ([], 3),
        (["max_stale=1"], 1),
        (["max_stale=0"], 0),
        (["max_stale=9"], 3),
        (["overlap=true"], 4),
        (["overlap=true", "max_stale=3"], 3),
        (["overlap=true", "max_stale=1", "reuse_k=2"], 1),
    ],
)
def test_no_segment_gets_older_than_it_may(run: Runner, options: list[str], oldest: int) -> None:
    directory = run("run", *(f"{SETTINGS}.{option}" for option in options)).directory
    lines = metrics(directory)
    assert not any(key.startswith("pseudo/") for line in lines[:4] for key in line)
    ages = [line["pseudo/age_max"] for line in lines[4:]]
    assert max(ages) == oldest
    for line in lines[4:]:
        assert line["pseudo/age_mean"] == line["pseudo/age_max"]  # a step's rows are of one window
        assert 0 < line["pseudo/tokens"] < 0.5
    youngest = 1 if "overlap=true" in options else 0
    period = oldest + 1 - youngest
    assert ages == [youngest + i % period for i in range(12)]


def test_the_share_of_generated_tokens_is_that_of_the_rows(run: Runner) -> None:
    alone = 'objectives=[{"kind": "transitive", "settings": {"start": 0.0, "every": 4}}]'
    lines = metrics(run("run", alone).directory)
    # [class c c c c, class a a a a]: five of the nine inputs are generated.
    assert [line["pseudo/tokens"] for line in lines] == [pytest.approx(5 / 9)] * 16


@given(items=st.lists(st.integers()))
def test_each_item_comes_with_the_next(items: list[int]) -> None:
    pairs = list(zip(items, [*items[1:], None], strict=True)) if items else []
    assert list(with_next(iter(items), early=True)) == pairs
    assert list(with_next(iter(items), early=False)) == [(item, None) for item in items]


def test_nothing_is_read_ahead_without_overlap() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(3):
            read.append(item)
            yield item

    next(with_next(items(), early=False))
    assert read == [0]


class StandIn:
    """Notes what a stream or an event is asked for."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told, self.device = name, told, torch.device("cuda")

    def record_event(self) -> StandIn:
        self.told.append(f"{self.name} records")
        return StandIn("event", self.told)

    def wait_event(self, event: StandIn) -> None:
        self.told.append(f"{self.name} waits for {event.name}")

    def wait_stream(self, stream: StandIn) -> None:
        self.told.append(f"{self.name} waits for {stream.name}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []

    @contextmanager
    def on(stream: StandIn) -> Iterator[None]:
        calls.append(f"on {stream.name}")
        yield
        calls.append(f"off {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: StandIn("side", calls))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: StandIn("main", calls))
    monkeypatch.setattr(torch.cuda, "stream", on)
    return calls


def test_on_cuda_the_work_starts_at_the_mark_and_the_update_waits_for_it(told: list[str]) -> None:
    beside = Beside(torch.device("cuda"))
    beside.mark()
    told.append("backward")
    with beside.work():
        told.append("work")
    told.append("update")
    assert told == [
        "main records",
        "backward",
        "side waits for event",
        "on side",
        "work",
        "off side",
        "main waits for side",
        "update",
    ]


def test_an_error_in_the_work_leaves_no_stream_behind(told: list[str]) -> None:
    with pytest.raises(ValueError, match="broken"), Beside(torch.device("cuda")).work():
        raise ValueError("broken")
    assert told[-1] == "main waits for side"


def test_on_a_cpu_there_is_no_stream(told: list[str]) -> None:
    beside = Beside(torch.device("cpu"))
    beside.mark()
    with beside.work():
        pass
    assert told == []
