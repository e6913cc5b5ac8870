"""Cached tokens that are damaged, or of something else, are refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.api.specs import Bounds
from loretta_framework.data.decode import BadRow, Decoder
from loretta_framework.data.sample import open_sets
from loretta_framework.data.tokens.cached import open_cached
from loretta_framework.data.tokens.npy import to_npy, token_dtype, tokens_in
from loretta_framework.data.tokens.reader import TokenColumn
from loretta_framework.data.tokens.tokenize import tokenize
from loretta_framework.recipe.plan import ComponentPlan
from loretta_framework.sequence.vocabulary import Block, Vocabulary
from loretta_framework.shards.writing import ShardWriter

Write = Callable[..., tuple[str, ...]]


@pytest.fixture
def made(write: Write, toy: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    samples = {f"{n:02d}": {"image.bin": b"i%d" % n, "text.txt": b"text"} for n in range(12)}
    plan = toy.plan([toy.set("s", write("s", samples))])
    modalities = {"image": toy.Bytes(), "text": toy.Bytes(), "speech": toy.Bytes()}
    folder = tmp_path / "tok"
    tokenize(plan, modalities, folder)
    return SimpleNamespace(plan=plan, modalities=modalities, folder=folder, toy=toy)


def opened(made: SimpleNamespace, **changes: Any) -> Any:
    plan = replace(made.plan, **changes)
    readers = open_sets(plan.split("train"))
    decoder = Decoder(made.modalities, plan.vocabulary, augment_seed=0)
    (draws,) = open_cached(plan, readers, decoder, made.folder)
    return draws


def with_image(made: SimpleNamespace, component: ComponentPlan) -> Any:
    first, *others = made.plan.modalities
    return (replace(first, component=component), *others)


def test_settings_and_versions_that_changed_are_named(made: SimpleNamespace) -> None:
    other = ComponentPlan("toy", 2, "toy 2", {"size": 3})
    with pytest.raises(ShardError) as error:
        opened(made, modalities=with_image(made, other))
    text = str(error.value)
    assert "modalities.image.version: was 1, but is 2" in text
    assert "modalities.image.settings.size: was None, but is 3" in text
    assert f"loretta data tokenize <recipe> --out {made.folder}" in text


def test_only_augment_may_change(made: SimpleNamespace, tmp_path: Path) -> None:
    made.modalities["image"] = made.toy.Noisy()
    asked = [ComponentPlan("toy", 1, "", {"augment": {"noise": n}}) for n in (1, 2)]
    made.folder = tmp_path / "augmented"
    plan = replace(made.plan, modalities=with_image(made, asked[0]))
    assert tokenize(plan, made.modalities, made.folder).forms["image"] == "copied"
    opened(made, modalities=with_image(made, asked[1]))
    made.folder = tmp_path / "tok"
    with pytest.raises(ShardError, match=r"image\.form: was 'tokens', but is 'copied'"):
        opened(made, modalities=with_image(made, asked[1]))


def test_a_modality_that_is_not_asked_to_augment_becomes_tokens(made: SimpleNamespace) -> None:
    made.modalities["image"] = made.toy.Noisy()
    quiet = replace(
        made.plan, modalities=with_image(made, ComponentPlan("t", 1, "", {"augment": None}))
    )
    assert tokenize(quiet, made.modalities, made.folder).forms["image"] == "tokens"


def test_data_that_changed_are_named(made: SimpleNamespace, write: Write) -> None:
    write("s", {f"{n:02d}": {"image.bin": b"new", "text.txt": b"text"} for n in range(12)})
    with pytest.raises(ShardError, match=r"data\.train\.s\.digest: was '\w+', but is '\w+'"):
        opened(made)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"missing": "skip"}, "s.missing: was 'keep', but is 'skip'"),
        ({"label": "meta.digit"}, "s.label: was None, but is 'meta.digit'"),
        ({"modalities": ("text", "image")}, "s.modalities: was"),
        ({"name": "new"}, "data.train.new: was 'absent', but is 'a training set'"),
    ],
)
def test_sets_that_are_declared_otherwise_are_named(
    made: SimpleNamespace, change: Any, told: str
) -> None:
    (own,) = made.plan.sets
    with pytest.raises(ShardError, match=told):
        opened(made, sets=(replace(own, **change),))


def test_bounds_and_modalities_that_changed_are_named(made: SimpleNamespace) -> None:
    bounds = {name: Bounds(300, 1, 12) for name in ("image", "text", "speech")}
    with pytest.raises(ShardError, match=r"text\.vocab_size: was 256, but is 300"):
        opened(made, vocabulary=Vocabulary.build(bounds))
    text = (made.folder / "tokens.json").read_text().replace('"image": {', '"picture": {', 1)
    (made.folder / "tokens.json").write_text(text)
    with pytest.raises(ShardError, match=r"modalities\.image: was 'absent', but is 'toy'"):
        opened(made)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "shards": {"s": [{}]}}', "[" * 100_000],
)
def test_a_manifest_that_cannot_be_read_is_refused(made: SimpleNamespace, content: str) -> None:
    (made.folder / "tokens.json").write_text(content)
    with pytest.raises(ShardError, match="the record of the tokens cannot be read"):
        opened(made)


def test_a_manifest_names_no_file_elsewhere(made: SimpleNamespace) -> None:
    path = made.folder / "tokens.json"
    path.write_text(path.read_text().replace("s-000000.tar", "../../shards/s-000000.tar"))
    with pytest.raises(ShardError, match="is no name of a token shard"):
        opened(made)


def test_no_tokens_at_all(made: SimpleNamespace) -> None:
    made.folder = made.folder / "nowhere"
    with pytest.raises(ShardError, match="there are no finished tokens"):
        opened(made)


def edited(made: SimpleNamespace, change: Callable[[Any], None]) -> None:
    path = made.folder / "tokens.json"
    data = json.loads(path.read_text())
    change(data["shards"]["s"][0])
    path.write_text(json.dumps(data))


def test_a_record_that_does_not_count_right_is_refused(made: SimpleNamespace) -> None:
    edited(made, lambda shard: shard.update(samples=4))
    with pytest.raises(ShardError, match="does not count the samples of the source"):
        opened(made)
    bad = {"number": 77, "key": "k", "modality": "", "cause": ""}
    edited(made, lambda shard: shard.update(bad=[bad]))
    for number in (77, 0):
        bad["number"] = number
        edited(made, lambda shard: shard.update(samples=3, bad=[bad, bad]))
        with pytest.raises(ShardError, match=f"names a sample {number} that is not there"):
            opened(made)


def test_another_token_shard_is_refused(made: SimpleNamespace) -> None:
    shutil.copy(made.folder / "s/s-000001.tar", made.folder / "s/s-000000.tar")
    with pytest.raises(ShardError):  # the same keys twice, or another digest
        opened(made)
    with ShardWriter(made.folder / "s", "s", 99) as writer:
        for n in range(5):
            writer.write(f"{n:02d}", {"image.npy": b"", "text.npy": b""})
    with pytest.raises(ShardError, match="the shard is not the one that was made"):
        opened(made)


def damaged(path: Path, at: int) -> None:
    """One bit, behind the back of size and time of modification."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_flipped_bit_makes_one_bad_row(made: SimpleNamespace) -> None:
    before = opened(made).take(np.arange(12), np.arange(12))
    damaged(made.folder / "s/s-000000.tar", 512 + 128)
    after = opened(made).take(np.arange(12), np.arange(12))
    assert isinstance(after[0], BadRow)
    assert "s-000000.tar" in after[0].shard
    assert (after[0].key, after[0].modality) == ("00", "image.npy")
    assert "checksum" in after[0].cause
    assert [s.key for s in after[1:]] == [s.key for s in before[1:]]


def test_a_shard_that_is_cut_after_it_was_opened_is_refused(made: SimpleNamespace) -> None:
    draws = opened(made)
    os.truncate(made.folder / "s/s-000000.tar", 1024)
    with pytest.raises(ShardError, match=r"the token shard cannot be read: it must have \d+ bytes"):
        draws.take(np.arange(3), np.arange(3))


def test_a_shard_that_is_gone_after_it_was_opened_is_refused(made: SimpleNamespace) -> None:
    draws = opened(made)
    (made.folder / "s/s-000000.tar").unlink()
    with pytest.raises(ShardError, match="the token shard cannot be read: No such file"):
        draws.take(np.arange(3), np.arange(3))


def test_files_that_are_no_tokens_are_refused(made: SimpleNamespace) -> None:
    def write(content: bytes) -> None:
        with ShardWriter(made.folder / "s", "s", 5) as writer:
            for n in range(12):
                writer.write(f"{n:02d}", {"image.npy": content, "text.npy": content})
        from loretta_framework.shards.index import open_index

        data = json.loads((made.folder / "tokens.json").read_text())
        for shard in data["shards"]["s"]:
            store = open_index([made.folder / "s" / shard["file"]])
            shard["digest"] = store.indexes[0].fingerprint.sha256
        (made.folder / "tokens.json").write_text(json.dumps(data))

    write(b"text")
    with pytest.raises(ShardError, match="the tokens of 'image' cannot be used"):
        opened(made).take(np.arange(3), np.arange(3))


NARROW = Block("m", 18, 200, 2, 9)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([np.array([1, 200])], r"its tokens must lie in 0\.\.199"),
        ([np.array([1])], "2 to 9 tokens, but has 1"),
        ([np.arange(10)], "2 to 9 tokens, but has 10"),
    ],
)
def test_ids_out_of_bounds_are_refused(files: list[Any], told: str) -> None:
    column = TokenColumn(NARROW)
    good = to_npy(np.arange(5), column.dtype)
    for others in ([], [good], [good, to_npy(np.arange(3), column.dtype)]):
        with pytest.raises(ValueError, match=told):
            column.ids([*(to_npy(ids, column.dtype) for ids in files), *others])


def test_files_of_other_lengths_than_they_say_are_refused() -> None:
    column = TokenColumn(NARROW)
    good = to_npy(np.arange(5), column.dtype)
    for files in ([good + b"x"], [good[:-1], good], [good[:-1] + b"\0\0", good[:-2], good]):
        with pytest.raises(ValueError, match="a file of 5 tokens cannot have"):
            column.ids(files)
    assert [ids.tolist() for ids in column.ids([good, good])] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize(
    ("vocabulary", "code"), [(256, "|u1"), (257, "<u2"), (65536, "<u2"), (65537, "<i4")]
)
def test_the_header_is_read_only_in_the_one_form_that_is_written(
    vocabulary: int, code: str
) -> None:
    dtype = token_dtype(vocabulary)
    assert dtype.str == code
    data = to_npy(np.array([0, vocabulary - 1]), dtype)
    assert tokens_in(data[:128], dtype) == 2
    assert TokenColumn(Block("m", 18, vocabulary, 1, 4)).ids([data])[0].tolist() == [
        0,
        vocabulary - 1,
    ]
    for changed in (
        data[:128].replace(b"False", b"True "),
        data[:128].replace(b"(2,)", b"(2,1)"),
        data[:128].replace(b"(2,)", b"(02,)"),
        data[:128].replace(code.encode(), b"|O8"),
        data[:128].replace(b"\x01\x00", b"\x02\x00", 1),
        data[:127],
        b"",
    ):
        with pytest.raises(ValueError, match="must start with the npy header"):
            tokens_in(changed, dtype)
    other = np.dtype("<u2") if code != "<u2" else np.dtype("|u1")
    with pytest.raises(ValueError, match="its ids must be"):
        tokens_in(data[:128], other)
