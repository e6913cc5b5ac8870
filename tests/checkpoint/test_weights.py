"""Weights leave as two files and come back from an export or a run."""

import os

import pytest
import torch

from loretta_framework.api.errors import CheckpointError, RunDirectoryError
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.store import save_checkpoint
from loretta_framework.checkpoint.weights import export_weights, load_weights

WEIGHTS = {"w": torch.arange(4.0).reshape(2, 2).T, "b": torch.tensor(1, dtype=torch.bfloat16)}


@pytest.fixture
def export(tmp_path):
    return export_weights(tmp_path / "export", WEIGHTS, {"vocabulary": [1, 2]})


def test_an_export_comes_back(export):
    assert sorted(item.name for item in export.iterdir()) == ["model.json", "model.safetensors"]
    loaded = load_weights(export, pytest.fail)
    assert loaded.state == {"vocabulary": [1, 2]}
    assert loaded.source == export
    assert loaded.tensors.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert torch.equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].dtype == tensor.dtype


def test_an_export_replaces_an_older_one_and_spares_other_files(export):
    (export / "notes.txt").write_text("mine")
    export_weights(export, {"w": torch.zeros(1)}, {})
    assert load_weights(export, pytest.fail).tensors["w"].tolist() == [0]
    assert (export / "notes.txt").read_text() == "mine"


def test_a_run_gives_its_newest_whole_checkpoint(tmp_path, plan):
    run = RunDirectory.create(tmp_path / "run", "name: toy\n", plan)
    with pytest.raises(RunDirectoryError, match="the run has no checkpoint yet"):
        load_weights(run.path, pytest.fail)
    for step in (1, 2):
        tensors = {"model": {"w": torch.full((2,), float(step))}, "optimizer": {}}
        save_checkpoint(run.checkpoints, step, tensors, {"at": step})
    loaded = load_weights(run.path, pytest.fail)
    assert (loaded.tensors["w"].tolist(), loaded.state) == ([2, 2], {"at": 2})
    os.truncate(run.checkpoints / "step-00000002" / "model.safetensors", 9)
    said = []
    loaded = load_weights(run.path, said.append)
    assert loaded.source.name == "step-00000001"
    assert loaded.tensors["w"].tolist() == [1, 1]
    assert len(said) == 1


def test_damage_to_an_export_is_found(export):
    for name in ("model.safetensors", "model.json"):
        good = (export / name).read_bytes()
        for place in range(len(good)):
            bad = bytearray(good)
            bad[place] ^= 0x80
            (export / name).write_bytes(bad)
            with pytest.raises(CheckpointError, match=f"{name} is damaged"):
                load_weights(export, pytest.fail)
        (export / name).write_bytes(good)
    (export / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read: No such file"):
        load_weights(export, pytest.fail)


def test_files_of_two_exports_do_not_mix(export, tmp_path):
    other = export_weights(tmp_path / "other", {"w": torch.zeros(1)}, {})
    (other / "model.safetensors").replace(export / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_weights(export, pytest.fail)


def test_a_newer_export_is_refused_with_both_numbers(export):
    text = (export / "model.json").read_text().replace('"format": 1', '"format": 9')
    (export / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match="the format must be 1, but is 9"):
        load_weights(export, pytest.fail)


def test_a_directory_that_is_neither_is_the_users_mistake(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunDirectoryError, match=r"neither a run .* nor an export"):
            load_weights(path, pytest.fail)


def test_state_that_is_not_plain_cannot_be_exported(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be exported: .*must be finite"):
        export_weights(tmp_path, WEIGHTS, {"a": float("nan")})
