from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.data.decode import BUGS, DecodeFailure, Decoder
from loretta_framework.data.sample import SetReader
from loretta_framework.sequence.vocabulary import Vocabulary

Write = Callable[..., tuple[str, ...]]


@pytest.fixture
def reader(write: Write, toy: SimpleNamespace) -> SetReader:
    shards = write("set", {"a": {"image.bin": b"I", "image.1.bin": b"J", "text.txt": b"T"}})
    return SetReader(toy.set("set", shards))


def decoder(toy: SimpleNamespace, image: Any, seed: int | None = None) -> Decoder:
    vocabulary: Vocabulary = toy.plan([]).vocabulary
    return Decoder({"image": image, "text": toy.Bytes()}, vocabulary, seed)


def with_encode(toy: SimpleNamespace, result: Any) -> Any:
    image = toy.Bytes()
    image.encode = lambda _: result
    return image


def test_augmentation_depends_on_seed_position_and_instance(
    reader: SetReader, toy: SimpleNamespace
) -> None:
    def ids(seed: int | None, position: int) -> list[list[int]]:
        sample = decoder(toy, toy.Noisy(), seed).sample(reader, 0, position)
        return [part.tolist() for _, part in sample.parts]

    plain, one = ids(None, 5), ids(0, 5)
    assert plain == [[ord("I")], [ord("J")], [ord("T")]]
    assert one == ids(0, 5)
    assert one[2] == plain[2]
    assert one[0][1] != one[1][1]
    assert ids(1, 5) != one != ids(0, 6)


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (np.zeros(0, np.int64), "decodes to nothing"),
        ([], "decodes to nothing"),
        (np.zeros(13, np.int64), "must have 1 to 12 tokens, but has 13"),
        (np.array([0, 256]), r"must lie in 0\.\.255, but lie in 0\.\.256"),
        (np.array([-1]), r"must lie in 0\.\.255"),
    ],
)
def test_unusable_tokens_are_failures_that_name_the_row(
    result: Any, cause: str, reader: SetReader, toy: SimpleNamespace
) -> None:
    with pytest.raises(DecodeFailure, match=cause) as caught:
        decoder(toy, with_encode(toy, result)).sample(reader, 0)
    row = caught.value.row
    assert (row.key, row.modality) == ("a", "image")
    assert row.shard.endswith("set-000000.tar")


@pytest.mark.parametrize("result", [np.zeros(2, np.float32), np.zeros((2, 2), np.int64)])
def test_tokens_of_another_form_are_a_bug(
    result: Any, reader: SetReader, toy: SimpleNamespace
) -> None:
    with pytest.raises(TypeError, match=r"must give integers of shape \(T,\)"):
        decoder(toy, with_encode(toy, result)).sample(reader, 0)


def test_a_modality_without_encode_is_a_bug(reader: SetReader, toy: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="modality 'image' has no `encode`"):
        decoder(toy, SimpleNamespace(read=lambda data, extension: data)).sample(reader, 0)


@pytest.mark.parametrize("kind", BUGS)
@pytest.mark.parametrize("method", ["read", "encode"])
def test_bugs_of_a_plugin_pass_through(
    kind: type[Exception], method: str, reader: SetReader, toy: SimpleNamespace
) -> None:
    def broken(*_: Any) -> Any:
        raise kind("broken")

    image = toy.Bytes()
    setattr(image, method, broken)
    with pytest.raises(kind, match="broken"):
        decoder(toy, image).sample(reader, 0)


def test_small_integers_become_int64(reader: SetReader, toy: SimpleNamespace) -> None:
    sample = decoder(toy, with_encode(toy, np.array([1], np.uint8))).sample(reader, 0)
    assert sample.parts[0][1].dtype == np.int64
