from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.data.sample import SetReader, open_sets
from loretta_framework.shards.reading import DamagedSampleError

Write = Callable[..., tuple[str, ...]]


def keys(reader: SetReader) -> list[str]:
    return [reader.read(row).key for row in range(len(reader))]


@pytest.fixture
def mixed(write: Write) -> tuple[str, ...]:
    return write(
        "mixed",
        {
            "both": {"image.bin": b"I", "text.txt": b"T", "speech.bin": b"S"},
            "image": {"image.bin": b"I"},
            "speech": {"speech.bin": b"S"},
            "none": {"meta.json": b"{}"},
            "text": {"text.txt": b"T"},
        },
    )


def test_only_declared_modalities_are_read(mixed: tuple[str, ...], toy: SimpleNamespace) -> None:
    reader = SetReader(toy.set("s", mixed, ("text", "image")))
    assert keys(reader) == ["s/both", "s/image", "s/text"]
    sample = reader.read(0)
    assert sample.parts == (("text", b"T", "txt"), ("image", b"I", "bin"))
    assert not sample.ordered
    assert reader.modalities(2) == {"text"}


def test_missing_policies(mixed: tuple[str, ...], toy: SimpleNamespace) -> None:
    assert keys(SetReader(toy.set("s", mixed, missing="skip"))) == ["s/both"]
    with pytest.raises(ShardError, match="lacks 'text'") as caught:
        SetReader(toy.set("s", mixed, missing="error"))
    assert "key 'image'" in caught.value.where


def test_a_set_without_any_usable_sample_is_refused(
    mixed: tuple[str, ...], toy: SimpleNamespace
) -> None:
    with pytest.raises(ShardError, match="no sample holds video"):
        SetReader(toy.set("s", mixed, ("video",)))


def test_instances_come_in_numeric_order(write: Write, toy: SimpleNamespace) -> None:
    members = {f"image{n}.bin": str(n or 0).encode() for n in ("", ".2", ".10", ".1")}
    reader = SetReader(toy.set("s", write("many", {"a": members})))
    assert [data for _, data, _ in reader.read(0).parts] == [b"0", b".1", b".2", b".10"]


def test_sequence_orders_interleaved_parts(write: Write, toy: SimpleNamespace) -> None:
    order = ["text.1", "speech.0", "image.0", "text.0"]
    members = {
        "image.bin": b"I",
        "text.txt": b"T0",
        "text.1.txt": b"T1",
        "speech.bin": b"S",
        "sequence.json": json.dumps(order).encode(),
    }
    reader = SetReader(toy.set("s", write("order", {"a": members})))
    sample = reader.read(0)
    assert sample.ordered
    assert [data for _, data, _ in sample.parts] == [b"T1", b"I", b"T0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'["image.0"]', "must name each part"),
        (b'["image.0", "text.0", "text.1"]', "must name each part"),
        (b'{"a": 1}', "must be a list"),
        (b"[1]", "must be a list"),
        (b"nonsense", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'["image.%s", "text.0"]' % (b"9" * 5000), "must name each part"),
        (b"[%s]" % (b"9" * 5000), "is not JSON"),
        (b" " * ((1 << 20) + 1), "at most 1048576 bytes, but has 1048577"),
    ],
)
def test_a_wrong_sequence_is_damage(
    content: bytes, message: str, write: Write, toy: SimpleNamespace
) -> None:
    members = {"image.bin": b"I", "text.txt": b"T", "sequence.json": content}
    reader = SetReader(toy.set("s", write("order", {"a": members})))
    with pytest.raises(DamagedSampleError, match=message) as caught:
        reader.read(0)
    assert "key 'a', member 'sequence.json'" in caught.value.where


def test_labels_are_text_from_meta(write: Write, toy: SimpleNamespace) -> None:
    shards = write(
        "labels",
        {
            "a": {"image.bin": b"I", "meta.json": b'{"digit": 7, "who": {"id": "x"}}'},
            "b": {"image.bin": b"I", "meta.json": b'{"number": 7}'},
            "c": {"image.bin": b"I"},
        },
    )
    reader = SetReader(toy.set("s", shards, label="meta.digit"))
    assert reader.read(0).label == "7"
    with pytest.raises(DamagedSampleError, match="'digit' is not there"):
        reader.read(1)
    with pytest.raises(DamagedSampleError, match=r"has no meta\.json"):
        reader.read(2)
    assert SetReader(toy.set("s", shards, label="meta.who.id")).read(0).label == "x"
    assert SetReader(toy.set("s", shards)).read(0).label is None


@pytest.mark.parametrize(
    ("value", "label"),
    [("7", "7"), ("-1", "-1"), ('"seven"', "seven"), ('""', ""), ("true", "True"),
     ("null", None), ("[1]", None), ("1.5", None), ("1.0", None), ('{"a": 1}', None)],
)  # fmt: skip
def test_only_text_whole_numbers_and_truth_values_are_labels(
    value: str, label: str | None, write: Write, toy: SimpleNamespace
) -> None:
    meta = f'{{"digit": {value}}}'.encode()
    shards = write("labels", {"a": {"image.bin": b"I", "meta.json": meta}})
    reader = SetReader(toy.set("s", shards, label="meta.digit"))
    if label is not None:
        assert reader.read(0).label == label
        return
    with pytest.raises(DamagedSampleError) as error:
        reader.read(0)
    told = f"'meta.digit' must be text, a whole number or true/false, but is {value}"
    assert told in str(error.value)
    assert "key 'a', member 'meta.json'" in error.value.where


def test_a_source_maps_members(write: Write, toy: SimpleNamespace) -> None:
    class Foreign:
        def modality_of(self, member: str) -> str | None:
            return {"jpg": "image", "txt": "text"}.get(member)

    shards = write("foreign", {"a": {"jpg": b"I", "txt": b"T", "cls": b"7"}, "b": {"cls": b"1"}})
    plan = toy.set("s", shards, source=toy.component)
    (reader,) = open_sets([plan], {"train/s": Foreign()})
    assert keys(reader) == ["s/a"]
    assert reader.read(0).parts == (("image", b"I", "jpg"), ("text", b"T", "txt"))
    with pytest.raises(KeyError):
        open_sets([plan])


def test_two_files_for_one_part_are_damage(write: Write, toy: SimpleNamespace) -> None:
    reader = SetReader(toy.set("s", write("two", {"a": {"image.png": b"1", "image.jpg": b"2"}})))
    with pytest.raises(DamagedSampleError, match="are both image number 0"):
        reader.read(0)


def test_a_key_in_two_shards_is_refused(write: Write, toy: SimpleNamespace) -> None:
    one, two = write("one", {"a": {"text.txt": b"1"}}), write("two", {"a": {"text.txt": b"2"}})
    with pytest.raises(ShardError, match=r"key 'a': one-000000\.tar and two-000000\.tar"):
        SetReader(toy.set("s", one + two))


def test_a_reader_survives_pickling(mixed: tuple[str, ...], toy: SimpleNamespace) -> None:
    reader = SetReader(toy.set("s", mixed))
    reader.read(0)
    assert keys(pickle.loads(pickle.dumps(reader))) == keys(reader)


def test_what_the_index_tells_of_a_row_without_reading(
    write: Write, toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = {
        f"{n}": {"text.1.txt": b"T" * n, "image.bin": b"I" * 10, "text.txt": b"t", "meta.json": b""}
        for n in range(5)
    }
    samples["5"] = {"speech.bin": b"S"}
    samples["6"] = {"text.txt": b"6"}
    reader = SetReader(toy.set("s", write("many", samples, per_shard=2)))
    monkeypatch.setattr(type(reader.store), "read", None)
    assert len(reader) == 6
    assert reader.boundaries == [0, 2, 4, 5]
    assert [reader.key(row) for row in (0, 4, 5)] == ["s/0", "s/4", "s/6"]
    assert reader.place(5) == (str(reader.store.place(6)), "6")
    assert reader.sizes(3) == (("image", 10), ("text", 1), ("text", 3))
    assert reader.sizes(5) == (("text", 1),)
    assert reader.modalities(0) == {"image", "text"}
    everything = reader.store.key_hashes()
    assert reader.key_hashes().tolist() == np.delete(everything, 5).tolist()


def test_a_shard_without_usable_rows_has_no_boundary(write: Write, toy: SimpleNamespace) -> None:
    samples = {f"{n}": {"speech.bin" if n in (0, 1, 4, 5) else "text.txt": b"x"} for n in range(6)}
    reader = SetReader(toy.set("s", write("gaps", samples, per_shard=2)))
    assert (len(reader), reader.boundaries) == (2, [0])


class Rows:
    """A `SampleStore` in memory: two files of two rows."""

    shapes = (("image.bin", "text.txt"), ("text.txt",))
    shape_S = np.array([0, 1, 0, 1], np.uint32)
    starts = (0, 2)
    digest = "d" * 64

    def __len__(self) -> int:
        return 4

    def key(self, sample: int) -> str:
        return "abcd"[sample]

    def key_hashes(self) -> np.ndarray:
        return np.zeros(4, np.uint64)  # all the same: the keys themselves decide

    def place(self, sample: int) -> str:
        return f"table-{sample // 2}"

    def size(self, sample: int, member: int) -> int:
        return 2

    def read(self, sample: int, member: int) -> bytes:
        return f"{sample}{member}".encode()


class RowSource:
    """Opens `Rows`, and calls images pictures."""

    def __init__(self) -> None:
        self.opened: list[tuple[Sequence[str], Path]] = []

    def open(self, patterns: Sequence[str], base: Path) -> Rows:
        self.opened.append((patterns, base))
        return Rows()

    def modality_of(self, member: str) -> str | None:
        return {"image.bin": "picture", "text.txt": "text"}.get(member)


def test_a_row_source_opens_the_set_itself(toy: SimpleNamespace) -> None:
    source = RowSource()
    plan = toy.set("s", ("/data/t-*.csv",), ("text", "picture"), source=toy.component)
    (reader,) = open_sets([plan], {"train/s": source})
    assert source.opened == [(("/data/t-*.csv",), Path("/"))]
    assert keys(reader) == ["s/a", "s/b", "s/c", "s/d"]
    assert reader.read(2).parts == (("text", b"21", "txt"), ("picture", b"20", "bin"))
    assert reader.boundaries == [0, 2]
    both = SetReader(toy.set("s", ("x",), ("text", "picture"), missing="skip"), source)
    assert keys(both) == ["s/a", "s/c"]


def test_keys_are_compared_by_hash_and_then_by_themselves(
    write: Write, toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loretta_framework.shards.scan.key_hash", lambda key: 7)
    one, two = write("one", {"a": {"text.txt": b"1"}}), write("two", {"b": {"text.txt": b"2"}})
    assert keys(SetReader(toy.set("s", one + two))) == ["s/a", "s/b"]
    three = write("three", {"a": {"text.txt": b"3"}})
    with pytest.raises(ShardError, match=r"key 'a': one-000000\.tar and three-000000\.tar"):
        SetReader(toy.set("s", one + two + three))
    # What is not used cannot clash.
    assert keys(SetReader(toy.set("s", one + write("no", {"a": {"x.y": b""}})))) == ["s/a"]
