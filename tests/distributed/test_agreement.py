"""Ranks that would run different things find out before the first step, and say what differs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.recipe.plan import Plan
from loretta_framework.testing.broken_plugins import write_plugin
from loretta_framework.testing.small_runs import write_small_run
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe
from loretta_framework.train.agreement import rank_facts, require_agreement
from loretta_framework.train.distributed import World

WORKER = Path(__file__).with_name("agreement_worker.py")

LETTERS = """
from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register):
    register(ModalitySpec(
        name="letters.text", version=1, summary="Text, for tests.",
        settings="loretta_framework.builtin.text_bytes:TextBytesSettings",
        factory="loretta_framework.builtin.text_bytes:TextBytes",
        capabilities=ModalityCapabilities(lossy=False, extensions=("txt",)),
    ))
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = write_small_run(tmp_path_factory.mktemp("agreement"))
    data: dict[str, Any] = json.loads((run / "plan.json").read_text())
    return data


@pytest.fixture
def ask(tmp_path: Path, launch: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """What each rank says, one per plan."""

    def ranks(*plans: dict[str, Any]) -> list[str]:
        files = [tmp_path / f"{rank}.json" for rank in range(len(plans))]
        for file, data in zip(files, plans, strict=True):
            file.write_text(json.dumps(data))
        return launch(WORKER, [[str(file)] for file in files])

    return ranks


def changed(plan: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    other: dict[str, Any] = json.loads(json.dumps(plan))
    change(other)
    return other


def another_installation_and_plan(plan: dict[str, Any]) -> None:
    plan["plugins"][0]["version"] = "0.0.7"
    plan["versions"]["loretta-framework"] = "0.0.7"
    plan["seed"] = 99
    plan["backbone"]["settings"]["width"] = 32


def test_every_rank_names_what_differs_and_where(
    ask: Callable[..., list[str]], plan: dict[str, Any]
) -> None:
    said = ask(plan, changed(plan, another_installation_and_plan))
    for rank, text in enumerate(said):
        assert f"rank {rank} of 2: the ranks do not agree on what to run:" in text
        assert "version of loretta-framework: 0.1.0 on rank 0; 0.0.7 on rank 1" in text
        assert "plugin builtin: loretta-framework 0.1.0 with " in text
        assert "plan: seed: 0 on rank 0; 99 on rank 1" in text
        assert "plan: backbone.settings.width: 16 on rank 0; 32 on rank 1" in text
        assert "plan: vocabulary" not in text
        assert "-> install the same versions on all machines" in text


def test_ranks_that_agree_go_on(ask: Callable[..., list[str]], plan: dict[str, Any]) -> None:
    def elsewhere(data: dict[str, Any]) -> None:
        data["reasons"].clear()
        for item in data["sets"]:
            item["shards"] = [f"/other{shard}" for shard in item["shards"]]

    assert ask(plan, changed(plan, elsewhere)) == ["agreed\n", "agreed\n"]


def test_training_stops_before_a_run_directory_where_a_rank_has_another_plugin(
    tmp_path: Path, launch: Callable[..., list[str]]
) -> None:
    environments = []
    for rank in range(2):
        site = tmp_path / f"site-{rank}"
        site.mkdir()
        write_plugin(site, "letters", LETTERS, version=f"1.{rank}")
        paths = {"PYTHONPATH": str(site), "LORETTA_CACHE": str(tmp_path / f"cache-{rank}")}
        environments.append({**os.environ, **paths})
    write_bijection_world(tmp_path, count=20)
    recipe = write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4},
        train={"ab": ["a", "b"]},
        objectives=[{"kind": "causal"}],
        steps=2,
        batch_tokens=100,
        backbone={"kind": "transformer", "settings": {"width": 16, "depth": 1, "heads": 1}},
    )
    recipe.write_text(recipe.read_text().replace("text_bytes", "letters.text", 1))
    runs = [tmp_path / f"run-{rank}" for rank in range(2)]
    for rank, text in enumerate(
        launch(WORKER, [[str(recipe), str(run)] for run in runs], environments)
    ):
        assert f"rank {rank} of 2: the ranks do not agree on what to run:" in text
        assert (
            "plugin letters: loretta-plugin-letters 1.0 with letters.text version 1 on rank 0"
            in text
        )
        assert "loretta-plugin-letters 1.1 with letters.text version 1 on rank 1" in text
        assert not runs[rank].exists()


def test_one_rank_takes_the_same_path(plan: dict[str, Any]) -> None:
    require_agreement(World(), Plan.from_json(plan))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda p: p["versions"].update(torch="9"), "version of torch"),
        (lambda p: p["plugins"][0].update(record="f" * 64), "files of loretta-framework"),
        (lambda p: p["plugins"][0]["components"].update(causal=5), "plugin builtin"),
        (
            lambda p: p["vocabulary"][0].update(vocab_size=1),
            "plan: vocabulary.english.vocab_size",
        ),
        (lambda p: p["sets"][1].update(digest="0"), "plan: sets.train.clocks.digest"),
        (lambda p: p["tasks"][0].update(share=0.5), "plan: tasks.causal.share"),
        (lambda p: p.update(data_hash="0"), "plan: data_hash"),
    ],
)
def test_every_part_enters(
    plan: dict[str, Any], change: Callable[[dict[str, Any]], None], fact: str
) -> None:
    before = rank_facts(Plan.from_json(plan))
    after = rank_facts(Plan.from_json(changed(plan, change)))
    assert [key for key in before if before[key] != after[key]] == [fact]
