"""A run that is killed again and again ends as the run that never was."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

STEPS, KILLS = 60, 12


def start(world: Path, name: str, resume: bool) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "loretta_framework.cli.main", "train", "small.yaml",
        "--run-dir", f"runs/{name}", "--set", "train.threads=1",
    ]  # fmt: skip
    command += ["--resume"] if resume else []
    return subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_kills_at_random_moments_change_nothing(tmp_path: Path, keep_result: Any) -> None:
    write_bijection_world(tmp_path, count=60)
    write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": ["a", "b"], "bc": ["b", "c"]},
        objectives=[
            {"kind": "causal", "share": 0.5},
            {"kind": "transitive", "share": 0.5, "settings": {"start": 0.2, "every": 8}},
        ],
        steps=STEPS,
        batch_tokens=200,
        checkpoint={"every_steps": 3, "keep_last": 2},
    )
    finish(start(tmp_path, "whole", resume=False))
    chosen = random.Random(0)
    killed = 0
    for _ in range(KILLS):
        resume = (tmp_path / "runs/killed/plan.json").exists()
        process = start(tmp_path, "killed", resume)
        time.sleep(chosen.uniform(2.0, 7.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 0
    keep_result("kills-in-training", {"kills": killed})
    resume = (tmp_path / "runs/killed/plan.json").exists()
    finish(start(tmp_path, "killed", resume))
    whole, other = (
        load_checkpoint(tmp_path / "runs" / name / "checkpoints" / f"step-{STEPS:08d}")
        for name in ("whole", "killed")
    )
    assert whole.state == other.state
    for group, tensors in whole.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[group][name]), f"{group}/{name}"
