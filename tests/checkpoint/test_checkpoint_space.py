"""A full or failing disk costs the new checkpoint, never the old one."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
import torch

import loretta_framework.checkpoint.store as store
from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.store import find_checkpoint, load_checkpoint, save_checkpoint
from loretta_framework.checkpoint.weights import export_weights

TENSORS = {"model": {"w": torch.arange(1000.0)}}


@pytest.fixture
def root(tmp_path):
    save_checkpoint(tmp_path, 1, TENSORS, {"n": 1})
    return tmp_path


def assert_untouched(root):
    assert [item.name for item in root.iterdir()] == ["step-00000001"]
    assert load_checkpoint(find_checkpoint(root, pytest.fail)).state == {"n": 1}


def test_a_file_size_limit_hit_in_the_middle_of_a_write(root):
    code = """
        import resource, sys, torch
        from pathlib import Path
        from loretta_framework.api.errors import CheckpointError
        from loretta_framework.checkpoint.store import save_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(Path(sys.argv[1]), 2, {"model": {"w": torch.zeros(100_000)}}, {})
        except CheckpointError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(root)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    match = re.search(
        r"File too large; it needs ([\d,]+) bytes, ([\d,]+) bytes are free", done.stdout
    )
    assert match, done.stdout
    assert 400_000 < int(match[1].replace(",", "")) < 401_000
    assert "step 2 cannot be written" in done.stdout
    assert "--resume" in done.stdout
    assert_untouched(root)


def test_too_little_space_is_seen_before_writing(root, monkeypatch):
    usage = store.shutil.disk_usage(root)._replace(free=1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    opened = []
    monkeypatch.setattr(store, "write_tensors", lambda *given: opened.append(given))
    with pytest.raises(
        CheckpointError, match=r"not enough free space; it needs 4,\d{3} bytes, 1,000"
    ):
        save_checkpoint(root, 2, TENSORS, {})
    assert opened == []
    assert_untouched(root)


def failing(real, at):
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            raise OSError(5, "Input/output error")
        return real(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_error_of_any_operation_keeps_the_old_checkpoint(root, monkeypatch, name, at, step):
    real = getattr(os, name)
    monkeypatch.setattr(os, name, failing(real, at))
    said = []
    try:
        save_checkpoint(root, step, TENSORS, {"n": 2})
    except CheckpointError as error:
        said.append(str(error))
    monkeypatch.setattr(os, name, real)
    assert not [item for item in root.iterdir() if item.name.startswith(".tmp")]
    for text in said:
        assert f"step {step} cannot be written: Input/output error; it needs" in text
    left = load_checkpoint(find_checkpoint(root, pytest.fail)).state
    assert left in ([{"n": 1}, {"n": 2}] if said else [{"n": 2}])
    save_checkpoint(root, step, TENSORS, {"n": 2})
    assert load_checkpoint(find_checkpoint(root, pytest.fail)).state == {"n": 2}


def test_a_root_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="the free space is not known"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, TENSORS, {})


def test_an_interrupt_in_a_save_leaves_nothing_partial(root, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_tensors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(root, 2, TENSORS, {})
    assert_untouched(root)


def test_an_export_that_fails_leaves_nothing_partial(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(os.fsync, 1))
    with pytest.raises(CheckpointError, match="cannot be exported: Input/output error"):
        export_weights(tmp_path / "out", TENSORS["model"], {})
    assert list((tmp_path / "out").iterdir()) == []
