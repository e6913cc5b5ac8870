"""A run directory is made once, opened only when it is one, and never mixed with other files."""

import json

import pytest

import loretta_framework.api.atomic as atomic
from loretta_framework.api.atomic import write_json_atomically
from loretta_framework.api.errors import EXIT_USER, RunDirectoryError
from loretta_framework.checkpoint.run_directory import RunDirectory

RECIPE = "name: töy\n"


@pytest.fixture
def run(tmp_path, plan):
    return RunDirectory.create(tmp_path / "runs" / "toy", RECIPE, plan)


def test_what_was_put_in_comes_back(run, plan, tmp_path):
    opened = RunDirectory.open(tmp_path / "runs" / "toy")
    assert opened.read_plan() == plan
    assert opened.read_recipe() == RECIPE
    assert opened.path == run.path


def test_everything_lies_where_the_layout_says(run):
    names = {
        "recipe.yaml": run.recipe_file,
        "plan.json": run.plan_file,
        "tokenizers": run.tokenizers,
        "metrics.jsonl": run.metrics_file,
        "checkpoints": run.checkpoints,
        "evaluation.json": run.evaluation_file,
        "report.html": run.report_file,
        "run.lock": run.lock_file,
    }
    for name, path in names.items():
        assert path == run.path / name
    made = {item.name for item in run.path.iterdir()}
    assert made == {"recipe.yaml", "plan.json", "run.lock"}


def test_a_directory_with_a_run_is_not_started_again(run, plan):
    with pytest.raises(RunDirectoryError, match="already holds a run") as error:
        RunDirectory.create(run.path, "name: other\n", plan)
    assert "--resume" in str(error.value)
    assert "--run-dir" in str(error.value)
    assert error.value.exit_code == EXIT_USER
    assert run.read_recipe() == RECIPE


def test_a_directory_with_other_files_is_left_alone(tmp_path, plan):
    (tmp_path / "recipe.yaml").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"not empty and holds no run: recipe\.yaml"):
        RunDirectory.create(tmp_path, RECIPE, plan)
    assert [item.name for item in tmp_path.iterdir()] == ["recipe.yaml"]
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_an_empty_directory_is_used(tmp_path, plan):
    assert RunDirectory.create(tmp_path, RECIPE, plan).read_plan() == plan


def test_a_start_that_was_killed_before_the_plan_is_started_again(run, plan):
    run.plan_file.unlink()
    with pytest.raises(RunDirectoryError, match=r"this is no run: plan\.json missing") as error:
        RunDirectory.open(run.path)
    assert "without --resume" in str(error.value)
    assert RunDirectory.create(run.path, "name: again\n", plan).read_recipe() == "name: again\n"


def test_a_directory_in_use_is_not_started(run, plan):
    run.plan_file.unlink()
    with run.acquire(), pytest.raises(RunDirectoryError, match="in use by process"):
        RunDirectory.create(run.path, RECIPE, plan)


def test_opening_what_is_no_run_says_what_is_missing(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"recipe\.yaml and plan\.json missing"):
        RunDirectory.open(tmp_path)


def test_opening_a_misspelt_path_names_the_nearest(run):
    with pytest.raises(RunDirectoryError, match=r"no such run directory \(did you mean 'toy'\?\)"):
        RunDirectory.open(run.path.parent / "tooy")
    with pytest.raises(RunDirectoryError, match="there is no such run directory"):
        RunDirectory.open(run.path / "a" / "b")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "\udcff", '{"vocabulary": []}', "[" * 100_000]
)
def test_a_damaged_plan_is_named(run, text):
    run.plan_file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunDirectoryError, match=r"plan\.json cannot be read"):
        run.read_plan()


def test_a_plan_whose_ids_overlap_is_named(run, plan):
    data = plan.to_json()
    data["vocabulary"][1]["start"] = data["vocabulary"][0]["start"]
    run.plan_file.write_text(json.dumps(data))
    with pytest.raises(RunDirectoryError, match="lies inside the ids"):
        run.read_plan()


def test_a_recipe_that_is_no_text_is_named(run):
    run.recipe_file.write_bytes(b"\xff\xfe")
    with pytest.raises(RunDirectoryError, match=r"recipe\.yaml cannot be read"):
        run.read_recipe()


def test_a_path_that_is_a_file_cannot_hold_a_run(tmp_path, plan):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written: File exists"):
        RunDirectory.create(tmp_path / "file", RECIPE, plan)


def test_an_update_replaces_both_files(run, plan):
    import dataclasses

    longer = dataclasses.replace(plan, steps=2000)
    run.update("name: longer\n", longer)
    assert (run.read_recipe(), run.read_plan().steps) == ("name: longer\n", 2000)


def test_an_update_that_fails_keeps_the_old_files_and_leaves_nothing(run, plan, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    before = {item.name: item.read_bytes() for item in run.path.iterdir()}
    monkeypatch.setattr(atomic.os, "fsync", refuse)
    with pytest.raises(RunDirectoryError, match="cannot be written: No space left on device"):
        run.update("name: new\n", plan)
    assert {item.name: item.read_bytes() for item in run.path.iterdir()} == before


def test_json_that_would_not_come_back_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"'\.' must be finite"):
        write_json_atomically(tmp_path / "evaluation.json", float("nan"))
    assert list(tmp_path.iterdir()) == []
