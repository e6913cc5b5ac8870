"""The package's own names: lazy, and as the README calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import loretta_framework as loretta


def test_importing_the_package_brings_nothing_heavy() -> None:
    script = (
        "import sys, loretta_framework; print(loretta_framework.__version__, dir(loretta_framework))\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "load_recipe" in done.stdout


def test_settings_of_evaluators_need_no_torch() -> None:
    script = (
        "import sys, loretta_framework.evaluate.settings\n"
        "import loretta_framework.cli.generate, loretta_framework.cli.score\n"
        "import loretta_framework.cli.evaluate\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_recipe_is_loaded_planned_trained_and_used(small_run: Path, tmp_path: Path) -> None:
    recipe = loretta.load_recipe(
        small_run.parent / "run.yaml",
        overrides=["train.steps=2", "data.workers=0", "train.batch_tokens=100"],
    )
    plan = loretta.plan(recipe)
    assert plan.steps == 2
    finished = loretta.train(recipe, run_dir=tmp_path / "trained")
    assert finished.steps == 2
    model = loretta.load(tmp_path / "trained")
    assert len(model.generate({"english": "one dog"}, to="roman", num_samples=2)) == 2


def test_train_stays_callable_when_its_modules_are_imported() -> None:
    import loretta_framework.train.loop as loop

    assert callable(loretta.train)
    assert loretta.train.loop is loop


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        loretta.nonsense  # noqa: B018
