from __future__ import annotations

import multiprocessing
import os
import pickle
from hashlib import sha256
from pathlib import Path

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.shards import reading
from loretta_framework.shards.index import ShardIndex, open_index
from loretta_framework.shards.reading import DamagedSampleError, MemberReader
from loretta_framework.shards.writing import ShardWriter


def write(folder: Path, samples: int = 7, per_shard: int = 3) -> ShardIndex:
    with ShardWriter(folder, "toy", per_shard) as writer:
        for number in range(samples):
            writer.write(
                f"{number:03d}",
                {"text.txt": f"text {number}".encode(), "image.png": bytes([number]) * number},
            )
    return open_index(writer.shards)


def read_all(reader: MemberReader, index: ShardIndex) -> list[bytes]:
    return [reader.read(entry, member) for entry in index.entries for member in entry.members]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    index = write(tmp_path)
    assert [p.name for p in index.shards] == ["toy-000000.tar", "toy-000001.tar", "toy-000002.tar"]
    assert [e.key for e in index.entries] == [f"{n:03d}" for n in range(7)]
    reader = MemberReader(index.shards)
    for number, entry in enumerate(index.entries):
        found = {member.name: reader.read(entry, member) for member in entry.members}
        assert found == {
            "text.txt": f"text {number}".encode(),
            "image.png": bytes([number]) * number,
        }


def test_the_same_samples_give_the_same_bytes_without_pax_headers(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    hashes = [[sha256(p.read_bytes()).hexdigest() for p in i.shards] for i in (one, two)]
    assert hashes[0] == hashes[1]
    assert b"PaxHeader" not in one.shards[0].read_bytes()


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
    index = write(tmp_path)
    entry = index.entries[4]
    member = next(m for m in entry.members if m.name == "image.png")
    with index.shards[entry.shard].open("r+b") as file:
        file.seek(member.offset)
        file.write(b"\xff")
    with pytest.raises(DamagedSampleError) as caught:
        MemberReader(index.shards).read(entry, member)
    for part in (str(index.shards[entry.shard]), "'004'", "'image.png'", "checksum"):
        assert part in str(caught.value)


def test_a_shard_that_shrinks_or_vanishes_is_found(tmp_path: Path) -> None:
    index = write(tmp_path)
    entry = index.entries[6]
    index.shards[2].write_bytes(b"")
    with pytest.raises(DamagedSampleError):
        MemberReader(index.shards).read(entry, entry.members[0])
    index.shards[2].unlink()
    with pytest.raises(ShardError, match=r"toy-000002\.tar, key '006'.*cannot be read"):
        MemberReader(index.shards).read(entry, entry.members[0])


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_OPEN_FILES", 2)
    index = write(tmp_path, samples=12, per_shard=1)
    before = len(os.listdir("/proc/self/fd"))
    reader = MemberReader(index.shards)
    contents = read_all(reader, index)
    assert contents == read_all(reader, index)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def in_child(reader: MemberReader, index: ShardIndex, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(read_all(reader, index))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_in_use_works_in_another_process(method: str, tmp_path: Path) -> None:
    index = write(tmp_path)
    reader = MemberReader(index.shards)
    expected = read_all(reader, index)
    if method == "spawn":  # what a spawned process gets is a pickled copy
        copy = pickle.loads(pickle.dumps(reader))
        reader.close()
        assert read_all(copy, index) == expected
        return
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=in_child, args=(reader, index, answers))
    child.start()
    assert answers.get(timeout=30) == expected
    child.join()
    assert read_all(reader, index) == expected
