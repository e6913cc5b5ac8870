"""Rooms that must be importable where torch is not: recipes are checked and shards are written
on machines without it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import loretta_framework
from loretta_framework.registry import Registry

ROOT = Path(__file__).parents[2]

NO_TORCH = """
import importlib, sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is forbidden here")


sys.meta_path.insert(0, NoTorch())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def run_without_torch(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NO_TORCH, *names], capture_output=True, text=True, check=False
    )


def modules_of(room: str) -> list[str]:
    folder = str(Path(loretta_framework.__file__).parent / room)
    prefix = f"loretta_framework.{room}."
    return [prefix[:-1], *(found.name for found in pkgutil.walk_packages([folder], prefix))]


def test_the_hook_works() -> None:
    done = run_without_torch("torch.nn")
    assert done.returncode == 1
    assert "torch is forbidden here" in done.stderr


@pytest.mark.parametrize("room", ["registry", "shards", "recipe", "cli"])
def test_every_module_of_a_torch_free_room(room: str) -> None:
    names = modules_of(room)
    assert len(names) > 1
    done = run_without_torch(*names)
    assert done.returncode == 0, done.stderr


def test_root_api_graph_and_sequence() -> None:
    api = [f"loretta_framework.api.{name}" for name in ("errors", "hooks", "layout", "protocols")]
    api += [f"loretta_framework.api.{name}" for name in ("random", "settings", "specs", "version")]
    done = run_without_torch(
        "loretta_framework",
        "loretta_framework.api",
        *api,
        "loretta_framework.graph",
        "loretta_framework.sequence.vocabulary",
        "loretta_framework.sequence.rows",
        "loretta_framework.builtin",
    )
    assert done.returncode == 0, done.stderr


def test_settings_of_every_installed_component() -> None:
    registry = Registry.discover()
    modules = {
        registry.component(name).settings.partition(":")[0]
        for record in registry.records
        for name in record.components
    }
    assert "loretta_framework.objectives.settings" in modules
    done = run_without_torch(*sorted(modules))
    assert done.returncode == 0, done.stderr
