from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from loretta_framework.api.errors import LorettaError, ShardError
from loretta_framework.api.protocols import SampleStore
from loretta_framework.shards import index as index_module, index_file
from loretta_framework.shards.index import ShardStore, index_path, index_shard, open_index
from loretta_framework.shards.table import ShardTable

Tar = Callable[..., Path]

GOOD = [
    ("a.image.png", b"first"),
    ("a.text.txt", b"hello"),
    ("b.text.txt", b""),
    ("c.image.0.png", b"zero"),
    ("c.image.1.PNG", b"one"),
]


def keys(store: ShardStore) -> list[str]:
    return [store.key(sample) for sample in range(len(store))]


def contents(store: ShardStore) -> list[tuple[str, str, bytes]]:
    return [
        (store.key(sample), name, store.read(sample, member))
        for sample in range(len(store))
        for member, name in enumerate(store.members(sample))
    ]


def test_the_index_knows_keys_members_and_offsets(tar: Tar) -> None:
    path = tar(GOOD)
    store = open_index([path])
    assert isinstance(store, SampleStore)
    assert keys(store) == ["a", "b", "c"]
    assert store.shapes == (("image.png", "text.txt"), ("text.txt",), ("image.png", "image.1.png"))
    assert store.shape_S.tolist() == [0, 1, 2]
    assert [data for *_, data in contents(store)] == [b"first", b"hello", b"", b"zero", b"one"]
    assert (store.size(0, 1), store.offset(0, 1)) == (5, 1536)
    assert (store.place(2), len(store.starts)) == (str(path), 1)


@pytest.mark.parametrize(("sample", "member"), [(3, 0), (-1, 0), (0, 2), (0, -1), (2**40, 0)])
def test_a_number_that_is_not_there_is_a_bug(sample: int, member: int, tar: Tar) -> None:
    with pytest.raises(IndexError):
        open_index([tar(GOOD)]).read(sample, member)


def test_no_shards_make_an_empty_store() -> None:
    store = open_index([])
    assert (len(store), store.starts, store.shapes, len(store.key_hashes())) == (0, (), (), 0)


def test_folders_in_the_tar_are_passed_over(tar: Tar) -> None:
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    assert keys(open_index([tar([folder, ("d/a.text.txt", b"x")])])) == ["d/a"]


def test_several_shards_are_one_sequence_and_the_digest_ignores_paths(
    tar: Tar, tmp_path: Path
) -> None:
    one = tar(GOOD, "one.tar")
    two = tar([("y.text.txt", b"y"), ("z.image.png", b"1"), ("z.text.txt", b"2")], "two.tar")
    store = open_index([one, two])
    assert keys(store) == ["a", "b", "c", "y", "z"]
    assert (store.starts, [store.shard(sample) for sample in range(5)]) == ((0, 3), [0, 0, 0, 1, 1])
    assert store.shape_S.tolist() == [0, 1, 2, 1, 0]
    assert contents(store) == contents(open_index([one])) + contents(open_index([two]))
    assert store.place(3) == str(two)
    moved = tmp_path / "moved.tar"
    moved.write_bytes(one.read_bytes())
    assert open_index([moved, two]).digest == store.digest
    assert open_index([two, one]).digest != store.digest
    assert open_index([one]).digest != store.digest


def test_equal_keys_have_equal_hashes_in_any_shard(tar: Tar) -> None:
    store = open_index([tar(GOOD, "one.tar"), tar([("b.text.txt", b""), *GOOD[3:]], "two.tar")])
    hashes = store.key_hashes().tolist()
    assert hashes[1:3] == hashes[3:]
    assert len(set(hashes)) == 3


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    scan = index_module.scan_shard

    def counted(path: Path) -> object:
        read.append(path.name)
        return scan(path)

    monkeypatch.setattr(index_module, "scan_shard", counted)
    return read


def test_only_shards_that_are_new_or_changed_are_read(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_reads(monkeypatch)
    paths = [tar(GOOD, f"{n}.tar") for n in range(3)]
    open_index(paths)
    before = {path.name: index_path(path).stat().st_mtime_ns for path in paths}
    read.clear()
    told: list[tuple[int, int, str, bool]] = []
    paths.append(tar([("z.text.txt", b"z")], "3.tar"))
    tar([*GOOD, ("d.text.txt", b"more")], "1.tar")
    store = open_index(paths, progress=lambda *facts: told.append(facts))
    assert read == ["1.tar", "3.tar"]
    assert told == [
        (1, 4, str(paths[0]), False),
        (2, 4, str(paths[2]), False),
        (3, 4, str(paths[1]), True),
        (4, 4, str(paths[3]), True),
    ]
    assert keys(store) == [*"abc", *"abcd", *"abc", "z"]
    after = {path.name: index_path(path).stat().st_mtime_ns for path in paths}
    assert {name for name in before if before[name] == after[name]} == {"0.tar", "2.tar"}


def test_an_index_is_reused_while_fresh(tar: Tar, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(GOOD)
    first = contents(open_index([path]))
    monkeypatch.setattr(index_module, "scan_shard", None)
    assert contents(open_index([path])) == first


@pytest.mark.parametrize("jobs", [2, 5])
def test_processes_index_what_one_would(jobs: int, tar: Tar) -> None:
    paths = [tar([(f"{n}.text.txt", b"x" * n)], f"{n}.tar") for n in range(3)]
    told: list[str] = []
    store = open_index(paths, jobs, lambda done, total, place, anew: told.append(place))
    assert sorted(told) == sorted(map(str, paths))
    assert all(index_path(path).exists() for path in paths)
    assert keys(store) == ["0", "1", "2"]
    assert store.digest == open_index(paths).digest


def test_a_fault_in_a_process_is_told_as_in_this_one(tar: Tar) -> None:
    paths = [tar(GOOD, "0.tar"), tar([("a.image.pkl", b"")], "1.tar"), tar(GOOD, "2.tar")]
    with pytest.raises(ShardError, match=r"1\.tar at byte 0.*run code"):
        open_index(paths, jobs=2)


def test_a_process_that_dies_is_an_error_and_no_hang(tar: Tar) -> None:
    paths = [tar([(f"{n}.text.txt", b"x")], f"{n}.tar") for n in range(40)]

    def kill(*_: object) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(LorettaError, match="a process that was indexing shards died") as caught:
        open_index(paths, jobs=2, progress=kill)
    assert caught.value.exit_code == 1


JUNK = [
    b"",
    b"{",
    b'{"format": 1, "size": 1, "samples": []}',
    (2**63).to_bytes(8, "little") + b"{}",
    (2).to_bytes(8, "little") + b"{}",
    (2).to_bytes(8, "little") + b"[]" + b"0" * 64,
    (40_000).to_bytes(8, "little") + b"[" * 40_000 + b"0" * 64,
]


@pytest.mark.parametrize("junk", JUNK)
def test_an_unreadable_index_is_built_again(junk: bytes, tar: Tar) -> None:
    path = tar(GOOD)
    first = contents(open_index([path]))
    whole = index_path(path).read_bytes()
    index_path(path).write_bytes(junk)
    assert contents(open_index([path])) == first
    assert index_path(path).read_bytes() == whole


def test_any_flipped_bit_and_any_cut_of_an_index_is_found(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)
    expected = contents(open_index([path]))
    whole = index_path(path).read_bytes()
    read = count_reads(monkeypatch)
    damaged = 0
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << (at % 8)
        for content in (flipped, whole[:at] if at % 7 == 0 else None):
            if content is None:
                continue
            index_path(path).write_bytes(content)
            assert contents(open_index([path])) == expected
            damaged += 1
    # A space of the header's padding may become a tab: the only bytes that say nothing.
    assert damaged - len(read) <= 8


def lying(table: ShardTable, **changes: object) -> ShardTable:
    return replace(table, **changes)  # type: ignore[arg-type]


LIES: list[Callable[[ShardTable], ShardTable]] = [
    lambda t: lying(t, shape_S=t.shape_S + np.uint32(3)),
    lambda t: lying(t, shapes=t.shapes[:1] * 3),
    lambda t: lying(t, shapes=(("image.pkl", "text.txt"), *t.shapes[1:])),
    lambda t: lying(t, shapes=((), *t.shapes[1:])),
    lambda t: lying(t, key_ends_S=t.key_ends_S[::-1].copy()),
    lambda t: lying(t, key_ends_S=t.key_ends_S + np.uint32(9)),
    lambda t: lying(t, key_hashes_S=t.key_hashes_S[:2]),
    lambda t: lying(t, crc32_M=t.crc32_M[:2]),
    lambda t: lying(t, blocks_M=t.blocks_M + np.uint32(2**31)),
    lambda t: lying(t, sizes_M=t.sizes_M + np.uint32(2**31)),
    lambda t: lying(t, sizes_M=t.sizes_M + np.uint32(9000)),
    lambda t: lying(t, keys_K=np.full_like(t.keys_K, 0xFF)),
    lambda t: lying(t, sizes_M=t.sizes_M.astype(np.uint64)),
]


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_lies_with_a_right_checksum_is_built_again(
    lie: Callable[[ShardTable], ShardTable], tar: Tar
) -> None:
    path = tar(GOOD)
    (index,) = open_index([path]).indexes
    expected = contents(open_index([path]))
    index_file.write_index(index_path(path), index.fingerprint, lie(index.table))
    assert contents(open_index([path])) == expected


def test_the_index_of_another_shard_or_of_an_older_one_is_not_used(tar: Tar) -> None:
    path, other = tar(GOOD), tar([("z.text.txt", b"z")], "other.tar")
    open_index([path, other])
    os.replace(index_path(other), index_path(path))
    assert keys(open_index([path])) == ["a", "b", "c"]
    tar([("x.text.txt", b"x"), *GOOD[1:]], "x.tar")
    assert keys(open_index([path])) == ["x", "a", "b", "c"]


def test_an_index_of_an_earlier_version_is_left_alone(tar: Tar) -> None:
    path = tar(GOOD)
    old = path.with_name("x.tar.index.json")
    old.write_text('{"format": 1}')
    open_index([path])
    assert old.read_text() == '{"format": 1}'


def test_a_folder_that_cannot_be_written_needs_no_index_file(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    store = open_index([path])
    assert keys(store) == ["a", "b", "c"]
    assert not index_path(path).exists()
    assert contents(pickle.loads(pickle.dumps(store))) == contents(store)


def test_no_file_is_left_when_the_index_cannot_be_renamed(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    open_index([path])
    assert [p.name for p in path.parent.iterdir()] == ["x.tar"]


def test_an_index_that_is_gone_as_soon_as_it_is_written_is_not_needed(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)
    monkeypatch.setattr(os, "replace", lambda source, target: os.unlink(source))
    assert keys(open_index([path])) == ["a", "b", "c"]
    assert [p.name for p in path.parent.iterdir()] == ["x.tar"]


def test_the_index_is_a_safetensors_file_with_the_same_bytes_each_time(tar: Tar) -> None:
    path = tar(GOOD)
    table = open_index([path]).indexes[0].table
    whole = index_path(path).read_bytes()
    loaded = load_file(index_path(path))
    assert {name: column.tolist() for name, column in loaded.items()} == {
        name: column.tolist() for name, column in table.columns().items()
    }
    index_path(path).unlink()
    open_index([path])
    assert index_path(path).read_bytes() == whole


def test_a_store_pickles_by_its_index_files(tar: Tar) -> None:
    path = tar(GOOD)
    store = open_index([path])
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    os.utime(path)  # indexed anew by someone else, with the same content
    open_index([path])
    assert contents(pickle.loads(pickled)) == contents(store)
    open_index([tar([("z.text.txt", b"z")])])
    with pytest.raises(ShardError, match="the index changed while it was in use: the shard was"):
        pickle.loads(pickled)
    index_path(path).unlink()
    with pytest.raises(ShardError, match="the index changed while it was in use"):
        pickle.loads(pickled)


def test_a_shard_that_is_still_being_written_is_refused(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(GOOD)
    crc32 = zlib.crc32

    def grow(*arguments: object) -> int:
        with path.open("ab") as file:
            file.write(bytes(512))
        return crc32(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("loretta_framework.shards.scan.zlib.crc32", grow)
    with pytest.raises(ShardError, match=r"x\.tar: the shard changed while it was read"):
        index_shard(path)


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
    end = open_index([path]).offset(11, 0) + 1100
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
