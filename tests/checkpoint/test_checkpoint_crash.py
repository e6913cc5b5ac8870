"""Whatever operation a kill or a power cut hits, a complete checkpoint is left, old or new."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = ["first", "next", "same", "leftover"]
WORKER = Path(__file__).with_name("crash_worker.py")


@pytest.fixture(scope="module")
def crashes(tmp_path_factory):
    """Results by scenario. One worker for all, for importing torch takes longer than the kills."""
    work = tmp_path_factory.mktemp("crashes")
    done = subprocess.run(
        [sys.executable, str(WORKER), str(work), *SCENARIOS, "control", "random"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_or_power_cut_at_every_operation_leaves_a_whole_checkpoint(crashes, scenario):
    result = crashes[scenario]
    assert result["faults"] == []
    assert result["points"] >= 25
    assert result["states"] > 2 * result["points"]


def test_the_judge_finds_fault_with_a_save_in_place(crashes):
    assert len(crashes["control"]["faults"]) >= 10


def test_a_chain_of_kills_at_random_moments_never_loses_a_finished_save(crashes):
    assert crashes["random"]["faults"] == []
    assert crashes["random"]["points"] == 40
