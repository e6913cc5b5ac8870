"""The plugin `pulse`, installed for a module of tests; shards, recipes and runs of its world."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from loretta_framework.recipe.load import load_recipe
from loretta_framework.testing.continuous_world import (
    write_pulse_plugin,
    write_pulse_recipe,
    write_pulse_world,
)
from loretta_framework.train.run import FinishedRun, train


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An import path with the plugin."""
    folder = tmp_path_factory.mktemp("site")
    write_pulse_plugin(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("LORETTA_CACHE", str(folder / "cache"))
        patch.delenv("LORETTA_PLUGINS", raising=False)
        yield folder
    for name in [name for name in sys.modules if name.startswith("loretta_plugin_pulse")]:
        del sys.modules[name]


@pytest.fixture
def world(tmp_path: Path, installed: Path) -> Path:
    """A folder with the shards of the world and `pulse.yaml`."""
    write_pulse_world(tmp_path)
    write_pulse_recipe(tmp_path / "pulse.yaml")
    return tmp_path


Runner = Callable[..., FinishedRun]


@pytest.fixture
def run(world: Path) -> Runner:
    """`run("name", "train.steps=9", resume=True)` trains `pulse.yaml` into runs/name."""

    def execute(name: str, *overrides: str, resume: bool = False, say: Any = None) -> FinishedRun:
        torch.set_num_threads(1)
        loaded = load_recipe(world / "pulse.yaml", list(overrides))
        return train(loaded, world / "runs" / name, resume=resume, say=say or (lambda _: None))

    return execute


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Path:
    """The directory of a short run; tests only read it, but for what `evaluate` writes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("small")
    write_pulse_world(folder, count=96)
    evaluate = [
        {"kind": "likelihood", "settings": {"resamples": 20}},
        {"kind": "retrieval", "settings": {"candidates": 12, "resamples": 20, "edges": "all"}},
        {"kind": "class_consistency", "settings": {"generations": 24, "resamples": 20}},
        {"kind": "gallery", "settings": {"edges": "all", "sources": 2, "samples": 1}},
    ]
    write_pulse_recipe(folder / "pulse.yaml", evaluate=evaluate)
    loaded = load_recipe(folder / "pulse.yaml", ["train.steps=30", "optimizer.lr=0.01"])
    return train(loaded, folder / "run", say=lambda _: None).directory
