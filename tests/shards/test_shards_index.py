from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.shards import scan
from loretta_framework.shards.index import index_path, index_shard, open_index
from loretta_framework.shards.reading import MemberReader

Tar = Callable[..., Path]

GOOD = [
    ("a.image.png", b"first"),
    ("a.text.txt", b"hello"),
    ("b.text.txt", b""),
    ("c.image.0.png", b"zero"),
    ("c.image.1.PNG", b"one"),
]


def test_the_index_knows_keys_members_and_offsets(tar: Tar) -> None:
    path = tar(GOOD)
    index = open_index([path])
    assert [entry.key for entry in index.entries] == ["a", "b", "c"]
    assert [m.name for m in index.entries[2].members] == ["image.png", "image.1.png"]
    reader = MemberReader(index.shards)
    contents = [reader.read(e, m) for e in index.entries for m in e.members]
    assert contents == [b"first", b"hello", b"", b"zero", b"one"]


def test_folders_in_the_tar_are_passed_over(tar: Tar) -> None:
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    assert [e.key for e in open_index([tar([folder, ("d/a.text.txt", b"x")])]).entries] == ["d/a"]


def test_entries_name_their_shard_and_the_digest_ignores_paths(tar: Tar, tmp_path: Path) -> None:
    one, two = tar(GOOD, "one.tar"), tar([("z.text.txt", b"z")], "two.tar")
    index = open_index([one, two])
    assert [entry.shard for entry in index.entries] == [0, 0, 0, 1]
    moved = tmp_path / "moved.tar"
    moved.write_bytes(one.read_bytes())
    assert open_index([moved, two]).digest == index.digest
    assert open_index([two, one]).digest != index.digest
    assert open_index([one]).digest != index.digest


def test_an_index_is_reused_while_fresh(tar: Tar, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(GOOD)
    first = open_index([path])
    monkeypatch.setattr(scan, "scan_shard", None)
    monkeypatch.setattr("loretta_framework.shards.index.scan_shard", None)
    assert open_index([path]) == first


def test_a_changed_shard_is_indexed_again(tar: Tar) -> None:
    first = open_index([tar(GOOD)])
    again = open_index([tar([*GOOD, ("d.text.txt", b"more")])])
    assert [entry.key for entry in again.entries] == ["a", "b", "c", "d"]
    assert again.digest != first.digest


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"format": 0}', b'{"format": 1, "size": 1}'])
def test_an_unreadable_index_is_built_again(junk: bytes, tar: Tar) -> None:
    path = tar(GOOD)
    first = open_index([path])
    index_path(path).write_bytes(junk)
    assert open_index([path]) == first
    assert json.loads(index_path(path).read_bytes())["format"] == 1


def test_a_folder_that_cannot_be_written_needs_no_index_file(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert len(open_index([path]).entries) == 3
    assert not index_path(path).exists()


def test_no_file_is_left_when_the_index_cannot_be_renamed(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    open_index([path])
    assert [p.name for p in path.parent.iterdir()] == ["x.tar"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"gone\.tar: the shard cannot be read"):
        open_index([tmp_path / "gone.tar"])


@pytest.mark.parametrize("content", [b"", b"\0" * 10240])
def test_an_empty_shard_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "empty.tar"
    path.write_bytes(content)
    with pytest.raises(ShardError, match="the shard is empty"):
        index_shard(path)


def test_a_shard_cut_anywhere_is_refused(tar: Tar, tmp_path: Path) -> None:
    path = tar([(f"{n}.text.txt", bytes([n]) * (n * 100)) for n in range(12)])
    whole = path.read_bytes()
    cut = tmp_path / "cut.tar"
    end = max(m.offset + m.size for e in open_index([path]).entries for m in e.members)
    for length in [*range(1, end, 97), end, end + 512]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ShardError, match=r"cut\.tar at byte \d+: the shard is truncated"):
            index_shard(cut)


def test_data_behind_the_end_mark_is_refused(tar: Tar) -> None:
    path, other = tar(GOOD), tar([("z.text.txt", b"z")], "z.tar")
    path.write_bytes(path.read_bytes() + other.read_bytes())
    with pytest.raises(ShardError, match="data follows the end mark"):
        index_shard(path)


def test_a_compressed_shard_is_no_shard(tar: Tar, tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "z.tar"
    path.write_bytes(gzip.compress(tar(GOOD).read_bytes()))
    with pytest.raises(ShardError, match="is no tar"):
        index_shard(path)


def special(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x.image.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_are_refused(kind: bytes, tar: Tar) -> None:
    with pytest.raises(ShardError, match="only plain files") as caught:
        index_shard(tar([("a.text.txt", b"x"), special(kind)]))
    assert "at byte 1024, member 'x.image.png'" in caught.value.where


@pytest.mark.parametrize(
    "name",
    ["/abs.text.txt", "../up.text.txt", "a/../../up.text.txt", "README", "x.pkl", "x.image.pt"],
)
def test_bad_members_are_refused_with_their_place(name: str, tar: Tar) -> None:
    with pytest.raises(ShardError) as caught:
        index_shard(tar([("a.text.txt", b"x"), (name, b"x")]))
    assert "at byte 1024" in caught.value.where
    assert name in caught.value.where
    assert caught.value.fix


def test_duplicate_members_are_refused(tar: Tar) -> None:
    with pytest.raises(ShardError, match=r"key 'a' holds 'image\.png' twice"):
        index_shard(tar([("a.image.png", b"1"), ("a.image.0.PNG", b"2")]))


def test_members_that_lie_apart_are_refused(tar: Tar) -> None:
    with pytest.raises(ShardError, match="key 'a' must lie side by side"):
        index_shard(tar([("a.image.png", b"1"), ("b.image.png", b"2"), ("a.text.txt", b"3")]))


def test_shards_need_no_torch() -> None:
    code = (
        "import sys, loretta_framework.shards.index, loretta_framework.shards.reading, "
        "loretta_framework.shards.writing, loretta_framework.shards.prepare, "
        "loretta_framework.shards.preparers.svl_digits, loretta_framework.cli.data\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
