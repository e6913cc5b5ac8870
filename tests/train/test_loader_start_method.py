"""How loader processes start is no part of what a run computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
CLOCK = {"tokens_per_second", "time"}


def metrics(run: FinishedRun) -> list[dict[str, Any]]:
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def test_a_run_is_the_same_with_every_start_method(run: Runner) -> None:
    whole = metrics(run("whole", "data.workers=0", "train.steps=8"))
    for method in ("fork", "spawn"):
        options = ("data.workers=2", "train.steps=8", f"data.start_method={method}")
        assert metrics(run(method, *options)) == whole


@pytest.mark.parametrize("workers", [0, 1])
def test_the_start_method_is_noted_where_there_are_processes(run: Runner, workers: int) -> None:
    said: list[str] = []
    run("noted", f"data.workers={workers}", "train.steps=1", say=said.append)
    assert any("data.start_method" in line for line in said) == bool(workers)
