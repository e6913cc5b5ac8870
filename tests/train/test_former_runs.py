"""Runs of before a setting had its name, or before there was one, go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from loretta_framework.api.errors import RecipeError, RunDirectoryError
from loretta_framework.inference import load
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.show import plan_text
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import small_sample, small_vocabulary
from loretta_framework.train.pool import RowPool
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
NEWER = ("reuse_k", "max_stale", "overlap", "top_p", "min_p")


def age(directory: Path, reuse: int) -> None:
    """The run as it was stored when the setting was called `reuse`, and others were not there."""
    path = directory / "plan.json"
    plan = json.loads(path.read_text())
    for task in plan["tasks"]:
        del task["overlap"]
        if task["name"] == "transitive":
            settings = task["component"]["settings"]
            for key in NEWER:
                del settings[key]
            settings["reuse"] = reuse
    path.write_text(json.dumps(plan))
    recipe = directory / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("reuse_k:", "reuse:"))
    assert "reuse:" in recipe.read_text()


def cut(directory: Path) -> None:
    for step in ("step-00000015", "step-00000016"):
        shutil.rmtree(directory / "checkpoints" / step)


@pytest.mark.parametrize("name", ["reuse", "reuse_k"])
def test_a_run_with_the_former_name_goes_on(run: Runner, name: str) -> None:
    directory = run("run", "objectives.transitive.settings.reuse_k=2").directory
    age(directory, 2)
    cut(directory)
    told: list[str] = []
    key = f"objectives.transitive.settings.{name}=2"
    assert run("run", key, resume=True, say=told.append).steps == 16
    assert not any("reuse" in text or "max_stale" in text for text in told)


def test_it_does_not_go_on_with_another_value(run: Runner) -> None:
    directory = run("run", "objectives.transitive.settings.reuse_k=2").directory
    age(directory, 2)
    cut(directory)
    with pytest.raises(RunDirectoryError, match=r"reuse_k: must stay 2, but is 1"):
        run("run", resume=True)
    more = [
        "objectives.transitive.settings.reuse_k=2",
        "objectives.transitive.settings.overlap=true",
    ]
    with pytest.raises(RunDirectoryError, match=r"overlap: must stay False, but is True"):
        run("run", *more, resume=True)


def test_a_run_with_the_former_name_is_loaded(run: Runner) -> None:
    directory = run("run", "objectives.transitive.settings.reuse_k=2").directory
    age(directory, 2)
    assert load(directory).generate({"a": "abcd"}, to="b", seed=0)


def test_rows_of_before_their_age_was_kept_are_of_their_window() -> None:
    sample = small_sample(0, "image", "text")
    segments = [Segment(name, ids, generated=name == "image") for name, ids in sample.parts]
    pool = RowPool()
    pool.fill([build_row(small_vocabulary(), segments, "s", "task")] * 2, made=8)
    kept, names = pool.tensors(), pool.names()
    again = RowPool()
    again.restore(kept, names)
    assert [(p.made, p.row.generated) for p in again.draw(2)] == [(8, 5), (8, 5)]
    former = {name: tensor for name, tensor in kept.items() if name not in ("made", "generated")}
    again.restore(former, names, made=4)
    assert [(p.made, p.row.generated) for p in again.draw(2)] == [(4, 0), (4, 0)]


def test_the_plan_holds_the_period_that_follows_and_tells_what_is_ahead(world: Path) -> None:
    settings = "objectives.transitive.settings"
    options = [f"{settings}.max_stale=2", f"{settings}.overlap=true"]
    plan = make_plan(load_recipe(world / "small.yaml", options))
    task = plan.tasks[-1]
    assert (task.every, task.overlap) == (2, True)
    assert "2 steps at once, made a step ahead" in plan_text(plan)
    assert type(plan).from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"bb": 0.5}', r"the modality 'bb' is not declared \(did you mean 'b'\?\)"),
        ('{"image": 0.5, "a": 1.0}', "the modality 'image' is not declared"),
    ],
)
def test_a_temperature_names_a_modality_of_the_recipe(world: Path, value: str, words: str) -> None:
    loaded = load_recipe(
        world / "small.yaml", [f"objectives.transitive.settings.temperature={value}"]
    )
    with pytest.raises(RecipeError, match=words) as caught:
        make_plan(loaded)
    assert "declared in `modalities`: a, b, c" in str(caught.value)


def test_temperatures_by_modality_are_used(run: Runner) -> None:
    key = "objectives.transitive.settings.temperature"
    plain = run("plain", f"{key}=1.0").metrics
    assert run("named", f'{key}={{"a": 1.0, "c": 1.0}}').metrics["loss"] == plain["loss"]
    assert run("other", f'{key}={{"a": 0.0, "c": 0.0}}').metrics["loss"] != plain["loss"]
