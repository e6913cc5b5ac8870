"""A run directory in a second, untrained, for tests of what reads one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.store import save_checkpoint
from loretta_framework.model.build import build_model
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.registry import Registry
from loretta_framework.shards.writing import ShardWriter

WORDS = ("one", "two", "three")
NOUNS = ("dog", "cat", "fish", "bird")
ROMAN = ("i", "ii", "iii")
SETS = {
    "pages": ("english", "figures"),
    "clocks": ("figures", "roman"),
    "reserved": ("english", "roman"),
    "triples": ("english", "figures", "roman"),
}
"""Shards that `write_small_run` makes, and what their samples hold."""

SAMPLES = 24
"""Samples of each set: eight of each class."""


def write_small_run(directory: Path, name: str = "run", **changes: Any) -> Path:
    """Make shards, a recipe and a run with fresh weights under `directory`.

    Three texts per number: english ("two cats"), figures ("2 2 2") and roman ("ii"); english and
    roman never occur together in training. Classes stand in meta.number.

    Args:
        directory: shards that are there from an earlier call are kept.
        name: of the run's directory.
        changes: sections of the recipe to replace.

    Returns:
        The run directory.
    """
    if not (directory / "shards").is_dir():
        for prefix in SETS:
            _write_set(directory / "shards", prefix)
    recipe = directory / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump({**_recipe(name), **changes}, sort_keys=False))
    loaded = load_recipe(recipe)
    registry = Registry.discover(())
    plan = make_plan(loaded, registry)
    path = directory / name
    text = yaml.safe_dump(loaded.resolved_for(path), sort_keys=False)
    run = RunDirectory.create(path, text, plan)
    model = build_model(plan, loaded.recipe, registry)
    state = {"step": 0, "vocabulary": plan.vocabulary.to_json()}
    save_checkpoint(run.checkpoints, 0, {"model": model.state_dict()}, state)
    return run.path


def _write_set(folder: Path, prefix: str) -> None:
    with ShardWriter(folder, prefix) as writer:
        for index in range(SAMPLES):
            members = {
                f"{name}.txt": text.encode()
                for name, text in _texts(index, list(SETS).index(prefix)).items()
                if name in SETS[prefix]
            }
            number = json.dumps({"number": index % 3 + 1}).encode()
            writer.write(f"{prefix}-{index:03d}", {**members, "meta.json": number})


def _texts(index: int, salt: int) -> Mapping[str, str]:
    number = index % 3
    count = 1 + (index // 3 + salt) % 3
    return {
        "english": f"{WORDS[number]} {NOUNS[(index // 3 + salt) % len(NOUNS)]}",
        "figures": " ".join([str(number + 1)] * count),
        "roman": " ".join([ROMAN[number]] * count),
    }


def _set(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shards": f"shards/{name}-*.tar",
        "modalities": list(SETS[name]),
        **more,
    }


def _recipe(name: str) -> dict[str, Any]:
    text = {"kind": "text_bytes", "settings": {"max_tokens": 12}}
    return {
        "schema_version": 1,
        "name": name,
        "modalities": {"english": text, "figures": text, "roman": text},
        "data": {
            "train": [_set("pages"), _set("clocks")],
            "test": [_set("triples", label="meta.number")],
        },
        "backbone": {"kind": "transformer", "settings": {"width": 16, "depth": 1, "heads": 2}},
        "evaluate": ["likelihood"],
    }
