"""Decoders that crash or hang cost a row, folders of others are left alone, the mended is redone."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import InputError, LorettaError, ShardError
from loretta_framework.data.decode import BadRow, Decoder
from loretta_framework.data.fitting import fit_tokenizers
from loretta_framework.data.sample import open_sets
from loretta_framework.data.tokens.cached import open_cached
from loretta_framework.data.tokens.manifest import read_manifest
from loretta_framework.data.tokens.tokenize import tokenize

Write = Callable[..., tuple[str, ...]]


class Fragile:
    """Text as bytes; its content may say what the decoder does instead. Learns what there is."""

    seen: tuple[bytes, ...] = ()

    def read(self, data: bytes, extension: str) -> bytes:
        if data.startswith(b"crash"):
            if multiprocessing.parent_process() is None:
                os._exit(77)  # it is told, and does not end the tests in a way that is hard to see
            faulthandler.disable()
            ctypes.string_at(0)
        if data.startswith(b"exit"):
            os._exit(7)
        if data.startswith(b"hang"):
            time.sleep(600)
        if data.startswith(b"bad"):
            raise ValueError("not a toy file")
        return data

    def encode(self, value: bytes) -> Any:
        return np.frombuffer(value, dtype=np.uint8).astype(np.int64)

    def decode(self, ids: Any) -> bytes:
        return bytes(ids.tolist())

    def write(self, value: bytes) -> tuple[bytes, str]:
        return value, "txt"

    def show(self, value: bytes) -> list[Any]:
        return []

    def parse(self, value: Any) -> bytes:
        return bytes(value)

    def fit(self, values: Any, seed: int) -> dict[str, float]:
        self.seen = tuple(values)
        assert self.seen == tuple(values)
        return {"values": len(self.seen)}

    def save(self, directory: Path) -> None:
        (directory / "seen").write_bytes(b"\n".join(self.seen))

    def load(self, directory: Path) -> None:
        self.seen = tuple((directory / "seen").read_bytes().split(b"\n"))


@pytest.fixture
def make(write: Write, toy: SimpleNamespace) -> Callable[..., Any]:
    def plan(special: dict[int, bytes], count: int = 22, **changes: Any) -> Any:
        rows = {f"{n:02d}": {"text.txt": special.get(n, b"t%d" % n)} for n in range(count)}
        made = toy.set("s", write("s", rows), ("text",))
        return toy.plan([made], names=("text",), **changes)

    return plan


CAUSES = {b"crash": "the decoder crashed (SIGSEGV)", b"hang": "the decoder took longer than 2 s"}


@pytest.mark.parametrize(("content", "workers"), [(b"crash", 1), (b"crash", 2), (b"hang", 1)])
def test_a_row_that_ends_its_process_is_a_bad_row(
    content: bytes, workers: int, make: Any, tmp_path: Path
) -> None:
    plan = make({7: content, 8: b"bad"})
    folder = tmp_path / "tok"
    changes: Any = {"workers": workers, "start_method": "fork", "row_seconds": 2.0}
    done = tokenize(plan, {"text": Fragile()}, folder, **changes)
    assert (done.bad, done.samples) == (2, {"s": 20})
    lines = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    found = {line["key"]: line for line in lines}
    assert len(lines) == len(found) == 2
    assert found["07"]["cause"] == CAUSES[content]
    assert found["07"]["shard"] == plan.sets[0].shards[1]
    assert tokenize(plan, {"text": Fragile()}, folder, **changes).made == 0
    readers = open_sets(plan.split("train"))
    decoder = Decoder({"text": Fragile()}, plan.vocabulary)
    (draws,) = open_cached(plan, readers, decoder, folder)
    rows = draws.take(np.arange(22), np.arange(22))
    assert [n for n, row in enumerate(rows) if isinstance(row, BadRow)] == [7, 8]
    assert rows[9].key == "s/09"


def test_rows_that_crash_count_against_the_fraction(make: Any, tmp_path: Path) -> None:
    plan = make(dict.fromkeys((1, 2, 9), b"crash"))
    with pytest.raises(ShardError, match="3 of 22 rows cannot be used"):
        tokenize(plan, {"text": Fragile()}, tmp_path / "tok")


@pytest.mark.parametrize("content", [b"crash", b"hang"])
def test_a_row_that_ends_its_process_is_not_fitted_on(
    content: bytes, make: Any, tmp_path: Path
) -> None:
    plan = make({7: content}, fitted=("text",))
    text = Fragile()
    figures = fit_tokenizers(plan, {"text": text}, tmp_path, seed=0, row_seconds=2.0)
    assert figures == {"text": {"values": 21.0}}
    assert sorted(text.seen) == sorted(b"t%d" % n for n in range(22) if n != 7)


def test_rows_that_crash_before_a_fit_count_and_are_named(make: Any, tmp_path: Path) -> None:
    plan = make(dict.fromkeys((1, 7, 9), b"crash"), fitted=("text",))
    with pytest.raises(ShardError, match="3 of 22 rows cannot be used") as error:
        fit_tokenizers(plan, {"text": Fragile()}, tmp_path, seed=0)
    assert "text: the decoder crashed (SIGSEGV)" in str(error.value)
    assert plan.sets[0].shards[1] in str(error.value)


def test_a_process_that_ends_without_a_row_to_blame_is_told(make: Any, tmp_path: Path) -> None:
    plan = make({7: b"exit"}, fitted=("text",))
    with pytest.raises(LorettaError, match="values to fit a tokenizer on died 3 times") as error:
        fit_tokenizers(plan, {"text": Fragile()}, tmp_path, seed=0)
    assert "it ended with status 7" in str(error.value)
    assert (error.value.where, error.value.exit_code) == ("modalities.text", 1)


@pytest.mark.parametrize("verdict", ["damaged", "undecodable"])
def test_a_shard_with_damaged_samples_is_made_anew(verdict: str, make: Any, tmp_path: Path) -> None:
    plan = make({} if verdict == "damaged" else {7: b"bad"})
    folder, shard = tmp_path / "tok", Path(plan.sets[0].shards[1])
    open_sets(plan.split("train"))  # indexed while it is whole
    whole, status = shard.read_bytes(), shard.stat()

    def put(content: bytes) -> None:
        shard.write_bytes(content)
        os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))

    if verdict == "damaged":
        put(whole.replace(b"t7", b"t?"))
    first = tokenize(plan, {"text": Fragile()}, folder)
    assert (first.made, first.bad) == (5, 1)
    put(whole)
    again = tokenize(plan, {"text": Fragile()}, folder)
    assert (again.made, again.bad) == ((1, 0) if verdict == "damaged" else (0, 1))


def test_a_folder_of_something_else_is_left_alone(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("name: mine")
    with pytest.raises(InputError, match="holds something else than tokens") as error:
        tokenize(make({}), {"text": Fragile()}, folder)
    assert error.value.exit_code == 2
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]
    (folder / "recipe.yaml").unlink()
    tokenize(make({}), {"text": Fragile()}, folder)
    (folder / ".lock").unlink()
    assert tokenize(make({}), {"text": Fragile()}, folder).made == 0


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_is_no_folder(below: str, make: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="tokens cannot be written there") as error:
        tokenize(make({}), {"text": Fragile()}, tmp_path / "file" / below)
    assert error.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data["modalities"]["text"].pop("form"), "the form of 'text'"),
        (lambda data: data["modalities"]["text"].update(form=["tokens"]), "the form of 'text'"),
        (lambda data: data["modalities"]["text"].pop("tokenizer"), "the tokenizer of 'text'"),
        (lambda data: data["modalities"].update(text=7), "AttributeError"),
        (lambda data: data["sets"].update(s="s"), "the set 's' must be described"),
        (lambda data: data.update(shards={}), r"shards of the sets \['s'\], but are of \[\]"),
    ],
)
def test_a_record_that_lacks_something_is_refused(
    change: Any, told: str, make: Any, tmp_path: Path
) -> None:
    tokenize(make({}), {"text": Fragile()}, tmp_path / "tok")
    data = json.loads((tmp_path / "tok/tokens.json").read_text())
    change(data)
    (tmp_path / "tok/tokens.json").write_text(json.dumps(data))
    with pytest.raises(ShardError, match=told):
        read_manifest(tmp_path / "tok")
