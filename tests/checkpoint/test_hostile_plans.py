"""A plan that somebody changed or a disk damaged is named by its key; it never ends in a traceback."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import LorettaError, RunDirectoryError
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.inference import load
from loretta_framework.testing.small_runs import write_small_run

WRONG: tuple[Any, ...] = (None, True, -1, 3.5, 10**13, 10**400, "x", [], ["x"], [[]], {}, {"x": 1})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("hostile"))


def paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything inside."""
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def attempts(data: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where something was changed, and the text of the plan that has it."""
    for path in list(paths(data)):
        inside, old = at(data, path[:-1]), at(data, path)
        shortened = [old[:-1], old[1:]] if isinstance(old, list) and old else []
        for value in (*WRONG, *shortened):
            inside[path[-1]] = value
            yield path, json.dumps(data)
        inside[path[-1]] = old
        if isinstance(inside, dict):
            del inside[path[-1]]
            yield path, json.dumps(data)
            inside[path[-1]] = old


def test_a_changed_plan_is_read_or_refused(run: Path) -> None:
    file = run / "plan.json"
    text = file.read_text()
    accepted: list[tuple[tuple[Any, ...], str]] = []
    refused = 0
    opened = RunDirectory.open(run)
    try:
        for path, changed in attempts(json.loads(text)):
            file.write_text(changed)
            try:
                plan = opened.read_plan()
            except RunDirectoryError:
                refused += 1
                continue
            accepted.append((path, changed))
            assert plan.to_json()["sets"] is not None
        assert refused > 2000
        # What was read is used: a part of it, since a model is built each time. Settings are the
        # components' own, which say what they may be.
        used = [changed for path, changed in accepted if "settings" not in path]
        for changed in used[:: len(used) // 20]:
            file.write_text(changed)
            with contextlib.suppress(LorettaError):
                load(run, warn=lambda _: None)
    finally:
        file.write_text(text)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("vocabulary",), ["x"], "vocabulary.0 must be a mapping, but is 'x'"),
        (("vocabulary", 0, "vocab_size"), 10**13, "must have sizes of at most 2147483648"),
        (("vocabulary", 0, "min_tokens"), 3.0, "vocabulary.0.min_tokens must be a whole number"),
        (("seed",), "x", "seed must be a whole number >= 0, but is 'x'"),
        (("backbone", "distribution"), 7, "backbone.distribution must be text, but is 7"),
        (("modalities", 0, "name"), ["a"], "modalities.0.name must be text, but is ['a']"),
        (("graph", "observed", 0, 0), ["a"], "graph.observed.0.0 must be a list of 2"),
        (("bridges", 0, "pair"), [], "bridges.0.pair must be a list of 2, but is []"),
        (("bridges", 0, "paths", 0), [], "bridges.0.paths must lead from one of its pair"),
        (("graph", "nodes", 0), "x", "graph.nodes must name modalities of the plan"),
        (("tasks", 0, "share"), float("nan"), "tasks.0.share must be a finite number >= 0"),
        (("plugins", 0, "api"), [1], "plugins.0.api must be a list of 2, but is [1]"),
        (("steps",), True, "steps must be a whole number >= 0, but is True"),
        (("more",), 1, "it must have the keys [] and not ['more']"),
    ],
)
def test_the_key_is_named(run: Path, path: tuple[Any, ...], value: Any, sentence: str) -> None:
    file = run / "plan.json"
    text = file.read_text()
    data = json.loads(text)
    at(data, path[:-1])[path[-1]] = value
    file.write_text(json.dumps(data))
    try:
        with pytest.raises(RunDirectoryError, match=re.escape(sentence)):
            RunDirectory.open(run).read_plan()
    finally:
        file.write_text(text)


def test_a_plan_whose_ids_fit_no_memory_is_refused_before_a_model_is_made(run: Path) -> None:
    file = run / "plan.json"
    text = file.read_text()
    data = json.loads(text)
    data["vocabulary"][-1]["vocab_size"] = 2**30
    file.write_text(json.dumps(data))
    try:
        with pytest.raises(LorettaError, match="the vocabulary must have 792 ids, but has 1073"):
            load(run)
    finally:
        file.write_text(text)
