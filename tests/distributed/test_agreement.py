"""Ranks that would run different things find out before the first step, and say what differs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.recipe.plan import Plan
from loretta_framework.testing.small_runs import write_small_run
from loretta_framework.train.agreement import rank_facts, require_agreement
from loretta_framework.train.distributed import World

WORKER = Path(__file__).with_name("agreement_worker.py")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = write_small_run(tmp_path_factory.mktemp("agreement"))
    data: dict[str, Any] = json.loads((run / "plan.json").read_text())
    return data


def ask(folder: Path, *plans: dict[str, Any]) -> list[str]:
    """What each rank says, one per plan."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = []
    for rank, data in enumerate(plans):
        file = folder / f"{rank}.json"
        file.write_text(json.dumps(data))
        command = [sys.executable, str(WORKER), str(rank), str(len(plans)), port, str(file)]
        ranks.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return [rank.communicate(timeout=240)[0] for rank in ranks]


def changed(plan: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    other: dict[str, Any] = json.loads(json.dumps(plan))
    change(other)
    return other


def another_installation_and_plan(plan: dict[str, Any]) -> None:
    plan["plugins"][0]["version"] = "0.0.7"
    plan["versions"]["loretta-framework"] = "0.0.7"
    plan["seed"] = 99
    plan["backbone"]["settings"]["width"] = 32


def test_every_rank_names_what_differs_and_where(tmp_path: Path, plan: dict[str, Any]) -> None:
    said = ask(tmp_path, plan, changed(plan, another_installation_and_plan))
    for rank, text in enumerate(said):
        assert f"rank {rank} of 2: the ranks do not agree on what to run:" in text
        assert "version of loretta-framework: 0.1.0 on rank 0; 0.0.7 on rank 1" in text
        assert "plugin builtin: loretta-framework 0.1.0 with " in text
        assert "plan: seed: 0 on rank 0; 99 on rank 1" in text
        assert "plan: backbone: digest " in text
        assert "plan: vocabulary" not in text
        assert "-> install the same versions on all machines" in text


def test_ranks_that_agree_go_on(tmp_path: Path, plan: dict[str, Any]) -> None:
    reasons_differ = changed(plan, lambda data: data["reasons"].clear())
    assert ask(tmp_path, plan, reasons_differ) == ["agreed\n", "agreed\n"]


def test_one_rank_takes_the_same_path(plan: dict[str, Any]) -> None:
    require_agreement(World(), Plan.from_json(plan))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda p: p["versions"].update(torch="9"), "version of torch"),
        (lambda p: p["plugins"][0].update(record="f" * 64), "files of loretta-framework"),
        (lambda p: p["plugins"][0]["components"].update(causal=5), "plugin builtin"),
        (lambda p: p["vocabulary"][0].update(vocab_size=1), "plan: vocabulary"),
        (lambda p: p.update(data_hash="0"), "plan: data_hash"),
    ],
)
def test_every_part_enters(
    plan: dict[str, Any], change: Callable[[dict[str, Any]], None], fact: str
) -> None:
    before = rank_facts(Plan.from_json(plan))
    after = rank_facts(Plan.from_json(changed(plan, change)))
    assert [key for key in before if before[key] != after[key]] == [fact]
