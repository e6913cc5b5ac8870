from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from types import SimpleNamespace

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
