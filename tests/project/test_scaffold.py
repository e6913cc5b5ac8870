"""A package that `loretta plugins new` writes is built, installed away from the checkout, and used."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.testing.conformance.running import SLOW_SWITCH
from loretta_framework.testing.scaffold import KINDS, PluginName, package_files, write_package

ROOT = Path(__file__).parents[2]
NAMES = {"modality": "tide", "backbone": "wave_mixer", "objective": "reversed2"}
"""Of different lengths and forms, since replacing a word can break code in several ways."""


def readme_commands(package: Path) -> list[list[str]]:
    """The `loretta` commands that the package's README shows."""
    text = (package / "README.md").read_text(encoding="utf-8")
    lines = [line[2:] for line in text.splitlines() if line.startswith("$ loretta ")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_built_installed_tested_and_trains_ten_steps(
    kind: str, build: Any, environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, outside = NAMES[kind], environment("more")
    outside.install(build(ROOT).wheel)
    outside.run("loretta", "plugins", "new", name, "--kind", kind, cwd=tmp_path)
    package = tmp_path / f"loretta-plugin-{name}"
    outside.install(build(package).wheel)
    shutil.rmtree(package / "src")  # from here on only what was installed can be imported

    tested = outside.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package)
    assert "passed" in tested
    commands = readme_commands(package)
    monkeypatch.setenv(SLOW_SWITCH, "0")  # the package's own tests ran the slow checks just now
    assert {command[1] for command in commands} >= {"plugins", "data", "train", "generate"}
    for command in commands:
        outside.run(*command, cwd=package)
    metrics = (package / "runs" / "example" / "metrics.jsonl").read_text(encoding="utf-8")
    steps = [json.loads(line) for line in metrics.splitlines()]
    assert steps[-1]["step"] == 10
    assert all(math.isfinite(step["loss"]) for step in steps if "loss" in step)
    recipe = (package / "runs" / "example" / "recipe.yaml").read_text(encoding="utf-8")
    assert f"kind: {name}." in recipe


def checked(*command: str | Path) -> None:
    """Run a tool of this environment from the checkout's root, where its cache lies."""
    command = (sys.executable, "-m", *command)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_new_packages_are_tidy_and_typed(tmp_path: Path) -> None:
    for kind in KINDS:
        write_package(kind, PluginName(NAMES[kind]), tmp_path / kind)
    checked("ruff", "check", "--no-cache", tmp_path)
    checked("mypy", "--strict", *(path.parent for path in tmp_path.glob("*/src/*/__init__.py")))


def test_templates_obey_the_rules_of_this_project() -> None:
    """A template has rules of its own, those it is written with; order of imports apart, ours hold."""
    rules = ["--no-cache", "--config", "pyproject.toml", "--ignore", "I001"]
    checked("ruff", "check", *rules, "loretta_framework/testing/scaffold/templates")


@pytest.mark.parametrize("kind", KINDS)
def test_the_placeholder_is_gone_and_nothing_else_is_lost(kind: str) -> None:
    files = package_files(kind, PluginName("tide"))
    expected = {
        ".github/workflows/test.yml",
        ".gitignore",
        "CHANGELOG.md",
        "README.md",
        "example/recipe.yaml",
        "example/samples/train.jsonl",
        "pyproject.toml",
        "src/loretta_plugin_tide/__init__.py",
        "src/loretta_plugin_tide/py.typed",
        "tests/test_tide.py",
    }
    assert expected <= set(files)
    for place, content in files.items():
        assert "template" not in f"{place} {content}".lower(), place
        assert "cache" not in place


def test_a_discrete_modality_is_two_small_files_and_a_pyproject() -> None:
    files = package_files("modality", PluginName("tide"))
    code = {place: text for place, text in files.items() if place.endswith(".py")}
    source = {place: text for place, text in code.items() if place.startswith("src/")}
    assert len(source) == 2
    assert sum(len(text.splitlines()) for text in source.values()) <= 150
    assert set(code) - set(source) == {"tests/test_tide.py"}
    assert len(code["tests/test_tide.py"].splitlines()) <= 10
    # All of it lies in the package: what is left are papers, samples and a recipe.
    rest = {Path(place).suffix for place in set(files) - set(code)}
    assert rest <= {".toml", ".md", ".yml", ".yaml", ".json", ".jsonl", ".typed", ""}


def test_templates_of_every_kind_differ_only_where_kinds_do() -> None:
    """What an author reads about ranges, tests and tools is the same everywhere."""
    shown = {}
    for kind in KINDS:
        text = package_files(kind, PluginName("tide"))["pyproject.toml"]
        lines = text.splitlines()
        shown[kind] = [line for line in lines if not line.startswith(("description", "depend"))]
        assert '"loretta-framework>=' in text
    assert shown["backbone"] == shown["modality"] == shown["objective"]
