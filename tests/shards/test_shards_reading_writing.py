from __future__ import annotations

import multiprocessing
import os
import pickle
from hashlib import sha256
from pathlib import Path

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.shards import reading
from loretta_framework.shards.index import ShardStore, open_index
from loretta_framework.shards.reading import DamagedSampleError
from loretta_framework.shards.writing import ShardWriter


def write(folder: Path, samples: int = 7, per_shard: int = 3) -> ShardStore:
    with ShardWriter(folder, "toy", per_shard) as writer:
        for number in range(samples):
            writer.write(
                f"{number:03d}",
                {"text.txt": f"text {number}".encode(), "image.png": bytes([number]) * number},
            )
    return open_index(writer.shards)


def read_all(store: ShardStore) -> list[bytes]:
    return [
        store.read(sample, member)
        for sample in range(len(store))
        for member in range(len(store.members(sample)))
    ]


def names(store: ShardStore) -> list[str]:
    return [Path(location).name for location in store.locations]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = write(tmp_path)
    assert names(store) == ["toy-000000.tar", "toy-000001.tar", "toy-000002.tar"]
    assert [store.key(sample) for sample in range(7)] == [f"{n:03d}" for n in range(7)]
    for sample in range(7):
        found = {name: store.read(sample, m) for m, name in enumerate(store.members(sample))}
        assert found == {
            "text.txt": f"text {sample}".encode(),
            "image.png": bytes([sample]) * sample,
        }


def test_the_same_samples_give_the_same_bytes_without_pax_headers(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    hashes = [[sha256(Path(p).read_bytes()).hexdigest() for p in i.locations] for i in (one, two)]
    assert hashes[0] == hashes[1]
    assert b"PaxHeader" not in Path(one.locations[0]).read_bytes()


def test_a_shard_in_progress_is_discarded_on_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path, "toy", 2) as writer:
            for number in range(3):
                writer.write(str(number), {"text.txt": b"x"})
            raise KeyError("boom")

    with pytest.raises(KeyError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["toy-000000.tar"]


@pytest.mark.parametrize(
    ("key", "members", "reason"),
    [
        ("0", {"text.txt": b"x"}, "written before"),
        ("1", {}, "no member"),
        ("a.b", {"text.txt": b"x"}, "key has no dot"),
        ("1", {"text": b"x", "image.pkl": b"x"}, "run code"),
        ("../1", {"text.txt": b"x"}, "climb"),
        ("1", {"image.PNG": b"x"}, r"must be 'image\.png'"),
        ("1", {"image.0.png": b"x"}, r"must be 'image\.png'"),
    ],
)
def test_the_writer_refuses_what_readers_would(
    key: str, members: dict[str, bytes], reason: str, tmp_path: Path
) -> None:
    with ShardWriter(tmp_path, "toy") as writer:
        writer.write("0", {"text.txt": b"x"})
        with pytest.raises(ShardError, match=reason):
            writer.write(key, members)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    store = write(tmp_path)
    member = store.members(4).index("image.png")
    with Path(store.place(4)).open("r+b") as file:
        file.seek(store.offset(4, member))
        file.write(b"\xff")
    with pytest.raises(DamagedSampleError) as caught:
        store.read(4, member)
    for part in (store.place(4), "'004'", "'image.png'", "checksum"):
        assert part in str(caught.value)


def test_a_shard_that_shrinks_or_vanishes_is_found(tmp_path: Path) -> None:
    store = write(tmp_path)
    shard = Path(store.place(6))
    shard.write_bytes(b"")
    with pytest.raises(DamagedSampleError):
        store.read(6, 0)
    shard.unlink()
    store.close()
    with pytest.raises(ShardError, match=r"toy-000002\.tar, key '006'.*cannot be read"):
        store.read(6, 0)


def test_short_answers_of_the_system_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write(tmp_path)
    expected, pread = read_all(store), os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, min(size, 2), at))
    assert read_all(store) == expected


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_OPEN_FILES", 2)
    store = write(tmp_path, samples=12, per_shard=1)
    before = len(os.listdir("/proc/self/fd"))
    assert read_all(store) == read_all(store)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before


def in_child(store: ShardStore, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(read_all(store))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_in_use_works_in_another_process(method: str, tmp_path: Path) -> None:
    store = write(tmp_path)
    expected = read_all(store)
    if method == "spawn":  # what a spawned process gets is a pickled copy
        copy = pickle.loads(pickle.dumps(store))
        store.close()
        assert read_all(copy) == expected
        return
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=in_child, args=(store, answers))
    child.start()
    assert answers.get(timeout=30) == expected
    child.join()
    assert read_all(store) == expected
