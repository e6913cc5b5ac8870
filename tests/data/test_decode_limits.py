"""Limits that hold before a file is read or decoded, and decoders that no suffix chooses."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import loretta_framework as loretta
from loretta_framework.api.errors import LorettaError, ShardError
from loretta_framework.api.settings import DEFAULT_MAX_BYTES, ModalitySettings
from loretta_framework.builtin.settings import TextBytesSettings
from loretta_framework.builtin.text_bytes import TextBytes
from loretta_framework.data.decode import DecodeFailure, Decoder, byte_limits
from loretta_framework.data.loader import Loader
from loretta_framework.data.sample import SetReader
from loretta_framework.data.values import read_values
from loretta_framework.shards.index import open_index

Write = Callable[..., tuple[str, ...]]


class NeverRead:
    """A store that tells sizes but holds no bytes."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, sample: int, member: int) -> bytes:
        raise AssertionError("the file must not be read")


def test_a_file_above_its_limit_is_never_read(write: Write, toy: SimpleNamespace) -> None:
    shards = write("s", {"a": {"text.bin": b"x" * 101, "image.bin": b"y"}})
    reader = SetReader(toy.set("s", shards))
    reader.store = NeverRead(reader.store)
    decoder = Decoder({"text": toy.Bytes(), "image": toy.Bytes()}, max_bytes={"text": 100})
    with pytest.raises(DecodeFailure) as caught:
        decoder.raw(reader, 0)
    assert caught.value.row.modality == "text"
    assert caught.value.row.key == "a"
    assert "at most 100 bytes (max_bytes), but has 101" in caught.value.row.cause
    with pytest.raises(AssertionError, match="must not be read"):
        decoder.raw(reader, 0, only="image")
    with pytest.raises(AssertionError, match="must not be read"):
        Decoder({}, max_bytes={"text": 101}).raw(reader, 0)


def test_without_a_limit_the_default_holds(write: Write, toy: SimpleNamespace) -> None:
    shards = write("s", {"a": {"text.bin": b"x"}})
    reader = SetReader(toy.set("s", shards))
    reader.store = NeverRead(reader.store)
    reader.store.size = lambda sample, member: DEFAULT_MAX_BYTES + 1
    with pytest.raises(DecodeFailure, match=r"max_bytes"):
        Decoder({"text": toy.Bytes()}).raw(reader, 0)
    assert ModalitySettings().max_bytes == DEFAULT_MAX_BYTES == 64 << 20


RECIPE = """
schema_version: 1
name: toy
modalities:
  a: {kind: text_bytes, settings: {max_tokens: 40, max_bytes: 20}}
data:
  max_bad_fraction: 1.0
  train: [{name: s, shards: "shards/s-*.tar", modalities: [a]}]
train: {steps: 20, batch_tokens: 64}
"""


def test_the_recipe_s_limit_is_kept_everywhere(write: Write, tmp_path: Path) -> None:
    write("s", {"big": {"a.txt": b"x" * 21}, **{f"k{n}": {"a.txt": b"ok"} for n in range(4)}})
    (tmp_path / "r.yaml").write_text(RECIPE)
    plan = loretta.plan(loretta.load_recipe(tmp_path / "r.yaml"))
    assert byte_limits(plan) == {"a": 20}
    tokenizers = {"a": TextBytes(TextBytesSettings(max_tokens=40))}
    with pytest.raises(LorettaError, match="max_bytes"):
        read_values(plan, tokenizers, "train")
    run = tmp_path / "run"
    run.mkdir()
    loader = Loader(plan, tokenizers, run, workers=0, max_bad_fraction=1.0)
    keys = {s.key for step in loader.steps(0, 20) for rows in step.values() for s in rows}
    assert keys == {f"s/k{n}" for n in range(4)}
    (row,) = (json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines())
    assert (row["key"], row["modality"]) == ("big", "a")
    assert "max_bytes" in row["cause"]


def test_a_text_is_measured_before_it_is_decoded() -> None:
    tokenizer = TextBytes(TextBytesSettings(max_bytes=10))
    assert tokenizer.read(b"x" * 10, "txt") == "x" * 10
    with pytest.raises(ValueError, match=r"at most 10 bytes \(max_bytes\), but has 11"):
        tokenizer.read(b"\xff" * 11, "txt")
    assert TextBytesSettings().max_bytes == 1 << 20


class Marker:
    """Leaves a trace when it is unpickled."""

    def __init__(self, marked: Path) -> None:
        self.marked = marked

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marked,)


def payloads(marked: Path) -> dict[str, bytes]:
    file = io.BytesIO()
    np.save(file, np.array([Marker(marked)], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, x=np.array([Marker(marked)], dtype=object))
    code = f"open({str(marked)!r}, 'w')".encode()
    return {
        "pickle": pickle.dumps(Marker(marked)),
        "npy": file.getvalue(),
        "npz": archive.getvalue(),
        "python": code,
        "yaml": b"!!python/object/apply:pathlib.Path.touch [" + str(marked).encode() + b"]",
    }


ALLOWED = (
    "npy",
    "npz",
    "npx",
    "safetensors",
    "bin",
    "json",
    "yaml",
    "py",
    "txt",
    "png",
    "wav",
    "so",
)
REFUSED = ("pkl", "pickle", "pyd", "pth", "pt", "PKL")


@pytest.mark.parametrize("suffix", ALLOWED)
def test_no_suffix_chooses_a_decoder(
    suffix: str, write: Write, toy: SimpleNamespace, tmp_path: Path
) -> None:
    image = pytest.importorskip("loretta_plugin_image.pixels")
    sound = pytest.importorskip("loretta_plugin_audio.mel_codes")
    from loretta_plugin_audio.settings import MelCodesSettings
    from loretta_plugin_image.settings import PixelsSettings

    marked = tmp_path / "marked"
    contents = payloads(marked)
    names = ("text", "image", "speech")
    samples = {key: {f"{name}.{suffix}": data for name in names} for key, data in contents.items()}
    reader = SetReader(toy.set("s", write("s", samples), names))
    decoder = Decoder(
        {
            "text": TextBytes(TextBytesSettings(max_tokens=10_000)),
            "image": image.Pixels(PixelsSettings(height=4, width=4)),
            "speech": sound.MelCodes(MelCodesSettings()),
        }
    )
    for row in range(len(reader)):
        for name in names:
            raw = decoder.raw(reader, row, only=name)
            try:
                values = decoder.values(reader, row, raw)
            except DecodeFailure:
                continue
            assert name == "text"
            assert all(isinstance(value, str) for _, value in values)
    assert not marked.exists()


@pytest.mark.parametrize("suffix", REFUSED)
def test_suffixes_that_other_readers_execute_are_refused(suffix: str, tmp_path: Path) -> None:
    marked = tmp_path / "marked"
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (("a.text.txt", b"x"), (f"a.x.{suffix}", payloads(marked)["pickle"])):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(ShardError, match="can run code"):
        open_index([path])
    assert not marked.exists()
