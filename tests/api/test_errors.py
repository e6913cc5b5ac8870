"""Errors say what, where and how to mend it, and know their exit code."""

from __future__ import annotations

import pickle

import pytest

from loretta_framework.api import errors


def test_form_of_an_error() -> None:
    error = errors.InputError("must be 8 wide, but is 9", where="a.png", fix="resize it")
    assert str(error) == "a.png: must be 8 wide, but is 9\n  -> resize it"
    assert str(errors.InputError("must be 8 wide")) == "must be 8 wide"


def test_all_problems_of_a_recipe_are_in_one_error() -> None:
    error = errors.RecipeError([errors.Problem("one", "a:1", "x"), errors.Problem("two")])
    assert str(error) == "a:1: one\n  -> x\ntwo"
    assert [problem.what for problem in error.problems] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LorettaError", 1),
        ("UserError", 2),
        ("GraphError", 2),
        ("PluginError", 2),
        ("ShardError", 2),
        ("RunDirectoryError", 2),
        ("InputError", 2),
        ("CheckpointError", 1),
        ("TrainingError", 1),
        ("MissingDependencyError", 2),
        ("StoppedOnRequest", 75),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    error = getattr(errors, name)("what")
    assert isinstance(error, errors.LorettaError)
    assert error.exit_code == code


def test_nearest() -> None:
    assert errors.nearest("trian", ["train", "score"]) == " (did you mean 'train'?)"
    assert errors.nearest("qqqq", ["train", "score"]) == ""
    assert errors.nearest("train", []) == ""


@pytest.mark.parametrize(
    "error",
    [
        errors.ShardError("what", where="a.tar", fix="index it"),
        errors.RecipeError([errors.Problem("one", "a:1", "x"), errors.Problem("two")]),
    ],
)
def test_an_error_from_a_worker_process_arrives_whole(error: errors.LorettaError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert copy.args == error.args
