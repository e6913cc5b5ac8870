"""Old checkpoints go, two complete ones always stay."""

import os

import pytest
import torch

from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.store import load_checkpoint, prune_checkpoints, save_checkpoint


def fill(root, *steps):
    for step in steps:
        save_checkpoint(root, step, {"model": {"w": torch.ones(1)}}, {})


def names(root):
    return sorted(item.name for item in root.iterdir())


def test_the_newest_are_kept_by_number(tmp_path):
    fill(tmp_path, 300, 100, 200, 400)
    os.utime(tmp_path / "step-00000100")  # the clock says that it is the newest
    removed = prune_checkpoints(tmp_path, 3)
    assert [path.name for path in removed] == ["step-00000100"]
    assert names(tmp_path) == ["step-00000200", "step-00000300", "step-00000400"]


@pytest.mark.parametrize("keep_last", [-1, 0, 1, 2])
def test_never_fewer_than_two(tmp_path, keep_last):
    fill(tmp_path, 1, 2, 3)
    prune_checkpoints(tmp_path, keep_last)
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


def test_damaged_ones_do_not_count_and_go_with_their_age(tmp_path):
    fill(tmp_path, 1, 2, 3, 4)
    (tmp_path / "step-00000003" / "manifest.json").unlink()
    os.truncate(tmp_path / "step-00000001" / "model.safetensors", 3)
    assert [path.name for path in prune_checkpoints(tmp_path, 2)] == ["step-00000001"]
    assert names(tmp_path) == ["step-00000002", "step-00000003", "step-00000004"]


def test_with_one_complete_nothing_is_removed(tmp_path):
    fill(tmp_path, 1, 2)
    (tmp_path / "step-00000001" / "state.json").unlink()
    assert prune_checkpoints(tmp_path, 2) == []
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    assert prune_checkpoints(tmp_path / "missing", 2) == []


def test_a_failing_removal_is_said_and_harms_none_to_keep(tmp_path, monkeypatch):
    fill(tmp_path, 1, 2, 3)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(CheckpointError, match="cannot be removed: Permission denied") as error:
        prune_checkpoints(tmp_path, 2)
    assert "step-00000001" in error.value.where
    for step in (2, 3):
        assert load_checkpoint(tmp_path / f"step-{step:08d}").step == step


def test_what_a_killed_run_left_is_removed_by_the_next_save(tmp_path):
    fill(tmp_path, 1)
    (tmp_path / ".tmp-2-dead").mkdir()
    (tmp_path / ".tmp-2-dead" / "model.safetensors").write_bytes(b"half")
    fill(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_a_partial_or_whole_directory_of_the_same_step_is_replaced(tmp_path):
    partial = tmp_path / "step-00000005"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    fill(tmp_path, 5)
    assert load_checkpoint(partial).step == 5
    save_checkpoint(tmp_path, 5, {"other": {}}, {"again": True})
    assert load_checkpoint(partial).state == {"again": True}
    assert names(tmp_path) == ["step-00000005"]
