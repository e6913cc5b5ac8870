"""No flipped bit, cut file or strange directory is ever loaded."""

import hashlib
import json
import shutil

import pytest
import torch

from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.store import find_checkpoint, load_checkpoint, save_checkpoint

FILES = ["manifest.json", "state.json", "model.safetensors", "optimizer.safetensors"]


@pytest.fixture
def checkpoint(tmp_path):
    tensors = {"model": {"w": torch.arange(6.0)}, "optimizer": {"m": torch.ones(3)}}
    return save_checkpoint(tmp_path / "checkpoints", 12, tensors, {"cursor": 120, "name": "x"})


def write_manifest(checkpoint, change):
    """A manifest as a stranger could write it: consistent with the files, but for one change."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (checkpoint / name).read_bytes()
        manifest["files"][name] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    change(manifest)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", FILES)
def test_every_single_flipped_bit_is_found_and_the_file_named(checkpoint, name):
    path = checkpoint / name
    good = path.read_bytes()
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(CheckpointError) as error:
                load_checkpoint(checkpoint)
            # A flip in the manifest may also make it name another file.
            assert name in str(error.value) or name == "manifest.json"
    path.write_bytes(good)
    assert load_checkpoint(checkpoint).step == 12


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_or_grown_is_found(checkpoint, name):
    good = (checkpoint / name).read_bytes()
    for length in range(len(good)):
        (checkpoint / name).write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(checkpoint)
    if name != "manifest.json":
        (checkpoint / name).write_bytes(good + b"\0")
        with pytest.raises(CheckpointError, match=f"{name} must have {len(good)} bytes"):
            load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(checkpoint)


def test_a_link_in_place_of_a_file_is_refused(checkpoint, tmp_path):
    shutil.move(checkpoint / "state.json", tmp_path / "state.json")
    (checkpoint / "state.json").symlink_to(tmp_path / "state.json")
    with pytest.raises(CheckpointError, match=r"state\.json must have .* but it is missing"):
        load_checkpoint(checkpoint)


def test_a_missing_checkpoint_and_a_wrong_name_are_told_apart(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        load_checkpoint(tmp_path / "step-00000099")
    moved = checkpoint.rename(checkpoint.parent / "step-00000013")
    with pytest.raises(CheckpointError, match="it says step 12"):
        load_checkpoint(moved)
    with pytest.raises(CheckpointError, match="must be called step-<8 digits>"):
        load_checkpoint(moved.rename(checkpoint.parent / "best"))


def test_a_newer_format_is_refused_with_both_numbers(checkpoint):
    write_manifest(checkpoint, lambda manifest: manifest.update(format=2))
    with pytest.raises(CheckpointError, match="the format must be 1, but is 2"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "model.pkl", ".json"])
def test_a_name_in_the_manifest_never_becomes_a_path(checkpoint, name):
    def add(manifest):
        manifest["files"][name] = {"bytes": 1, "sha256": "0"}

    write_manifest(checkpoint, add)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        load_checkpoint(checkpoint)


def test_a_manifest_without_state_is_refused(checkpoint):
    write_manifest(checkpoint, lambda manifest: manifest["files"].pop("state.json"))
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged: its files are"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", "must be a mapping, but is a list"),
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"\xff", "is no JSON"),
    ],
)
def test_a_strangers_state_is_refused_although_its_digest_fits(checkpoint, data, message):
    (checkpoint / "state.json").write_bytes(data)
    write_manifest(checkpoint, lambda manifest: None)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04.", (1 << 63).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_strange_tensor_files_are_refused_although_their_digest_fits(checkpoint, data):
    (checkpoint / "model.safetensors").write_bytes(data)
    write_manifest(checkpoint, lambda manifest: None)
    with pytest.raises(CheckpointError, match="this is no safetensors file"):
        load_checkpoint(checkpoint)


def test_a_damaged_newest_is_passed_over_and_said(tmp_path):
    for step in (90, 100):  # by number: "step-100..." sorts before "step-90..." as plain text
        save_checkpoint(tmp_path, step, {"model": {"w": torch.ones(2)}}, {})
    older, newest = tmp_path / "step-00000090", tmp_path / "step-00000100"
    assert find_checkpoint(tmp_path, pytest.fail) == newest
    data = bytearray((newest / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "model.safetensors").write_bytes(data)
    said = []
    assert find_checkpoint(tmp_path, said.append) == older
    assert len(said) == 1
    assert "step-00000100 is passed over" in said[0]
    assert "model.safetensors is damaged" in said[0]
    (older / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints is complete"):
        find_checkpoint(tmp_path, said.append)


def test_no_checkpoint_is_no_error(tmp_path):
    assert find_checkpoint(tmp_path / "missing", pytest.fail) is None
    (tmp_path / ".tmp-5-dead").mkdir()
    (tmp_path / "step-x").mkdir()
    assert find_checkpoint(tmp_path, pytest.fail) is None


def test_an_unreadable_file_is_named(checkpoint, monkeypatch):
    import loretta_framework.checkpoint.manifest as manifest

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(manifest, "file_digest", fail)
    with pytest.raises(CheckpointError, match=r"safetensors cannot be read: Input/output error"):
        load_checkpoint(checkpoint)
