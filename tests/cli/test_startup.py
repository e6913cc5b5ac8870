"""What a command imports is what it needs, however many plugins are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin
from loretta_framework.testing.small_runs import write_small_run

DUMMIES = 30
ODD = {7: FAULTS["raises"], 14: FAULTS["hangs"], 21: FAULTS["crashes"]}
SCRIPT = """
import json, sys
from loretta_framework.cli.main import main
code = main(sys.argv[1:])
assert code == 0, code
sys.stderr.write("MODULES" + json.dumps(sorted(sys.modules)))
"""


class Crowd:
    """An environment with many plugins."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        for number in range(DUMMIES):
            write_plugin(site, f"dummy{number:02d}", ODD.get(number, SOUND))
        self.recipe = folder / "run.yaml"
        write_small_run(folder)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(site),
            "LORETTA_CACHE": str(folder / "cache"),
        }

    def imported_by(self, *arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stderr.rpartition("MODULES")[2]))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    return Crowd(tmp_path_factory.mktemp("crowd"))


def dummies(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("loretta_plugin_dummy")}


@pytest.mark.parametrize("command", [["--help"], ["plugins", "--help"], ["plugins", "list"]])
def test_help_and_list_import_no_plugin_and_nothing_heavy(crowd: Crowd, command: list[str]) -> None:
    modules = crowd.imported_by(*command)
    assert dummies(modules) == set()
    assert not modules & {"torch", "numpy", "pydantic", "pluggy", "yaml", "packaging"}
    if "list" not in command:
        assert "importlib.metadata" not in modules


def test_a_static_check_imports_no_torch_and_no_other_plugin(crowd: Crowd) -> None:
    crowd.imported_by("recipe", "check", "--static", str(crowd.recipe))  # makes the indexes
    modules = crowd.imported_by("recipe", "check", "--static", str(crowd.recipe))
    assert dummies(modules) == set()
    assert not modules & {"torch", "numpy", "packaging"}


def test_a_recipe_imports_the_plugins_it_names(crowd: Crowd) -> None:
    override = "modalities.english={kind: dummy05.thing}"
    modules = crowd.imported_by("recipe", "show", str(crowd.recipe), "--set", override)
    assert dummies(modules) == {"loretta_plugin_dummy05", "loretta_plugin_dummy05.parts"}
    assert "torch" not in modules
