"""A world of three text modalities, small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loretta_framework.recipe.load import load_recipe
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe
from loretta_framework.train.run import FinishedRun, train

MIXED = [
    {"kind": "causal", "share": 0.4, "settings": {"first_segment_weight": 0.3}},
    {"kind": "causal_masked", "share": 0.2},
    {"kind": "transitive", "share": 0.4, "settings": {"start": 0.25, "every": 4}},
]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_bijection_world(tmp_path, count=60)
    write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": ["a", "b"], "bc": ["b", "c"]},
        objectives=MIXED,
        steps=16,
        batch_tokens=200,
        checkpoint={"every_steps": 5, "keep_last": 10},
        backbone={
            "kind": "transformer",
            "settings": {"width": 32, "depth": 1, "heads": 2, "dropout": 0.1},
        },
    )
    return tmp_path


Runner = Callable[..., FinishedRun]


@pytest.fixture
def run(world: Path) -> Runner:
    def execute(name: str, *overrides: str, resume: bool = False, say: Any = None) -> FinishedRun:
        torch.set_num_threads(1)
        loaded = load_recipe(world / "small.yaml", ["train.threads=1", *overrides])
        return train(loaded, world / "runs" / name, resume=resume, say=say or (lambda _: None))

    return execute
