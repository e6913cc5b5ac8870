from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import loretta_framework as loretta
from loretta_framework.data.sample import open_sets

Write = Callable[..., tuple[str, ...]]

RECIPE = """
schema_version: 1
name: toy
modalities:
  a: {{kind: text_bytes, settings: {{max_tokens: 8}}}}
  b: {{kind: text_bytes, settings: {{max_tokens: 8}}}}
data:
  train:
    - {{name: s, shards: "shards/s-*.tar", modalities: [a, b], missing: {missing}}}
"""


@pytest.mark.parametrize("missing", ["keep", "skip"])
def test_the_readers_hold_the_samples_that_the_plan_counted(
    missing: str, write: Write, tmp_path: Path
) -> None:
    kinds = [("a",), ("a", "b"), ("c",), ("b", "c"), ("a", "b", "c"), ("meta",)]
    names = {"meta": "meta.json", "a": "a.txt", "b": "b.2.txt", "c": "c.txt"}
    write(
        "s",
        {f"{n}": {names[name]: b"{}" for name in kinds[n % len(kinds)]} for n in range(20)},
    )
    (tmp_path / "r.yaml").write_text(RECIPE.format(missing=missing))
    plan = loretta.plan(loretta.load_recipe(tmp_path / "r.yaml"))
    (reader,) = open_sets(plan.sets)
    combinations = [reader.modalities(row) for row in range(len(reader))]
    assert len(reader) == plan.sets[0].samples
    assert {frozenset(c): n for c, n in plan.sets[0].combinations} == {
        c: combinations.count(c) for c in combinations
    }
