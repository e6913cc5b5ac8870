"""A plugin, shards and a recipe to try the recipe room with."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from loretta_framework.testing.broken_plugins import write_plugin

REGISTRATION = """
from loretta_framework.api import (
    BackboneCapabilities, BackboneSpec, ModalityCapabilities, ModalitySpec, ObjectiveCapabilities,
    ObjectiveSpec, SourceSpec, hookimpl,
)


def spec(kind, name, parts, **more):
    return kind(name=name, version=3, summary="For tests.",
                settings="{package}.toys:" + parts + "Settings",
                factory="{package}.toys:" + parts, **more)


@hookimpl
def register_modalities(register):
    register(spec(ModalitySpec, "toy.symbols", "Symbols"))
    register(spec(ModalitySpec, "toy.words", "Words", capabilities=ModalityCapabilities(fitted=True)))
    register(spec(ModalitySpec, "toy.bad_bounds", "BadBounds"))
    register(spec(ModalitySpec, "toy.bad_slots", "BadSlots"))
    register(spec(ModalitySpec, "toy.absent", "Absent"))


@hookimpl
def register_sources(register):
    register(spec(SourceSpec, "toy.rename", "Rename"))


@hookimpl
def register_backbones(register):
    register(spec(BackboneSpec, "toy.short", "Short", capabilities=BackboneCapabilities(max_length=8)))


@hookimpl
def register_objectives(register):
    register(spec(ObjectiveSpec, "toy.late", "Late"))
"""

TOYS = """
from typing import Annotated, Literal
from pydantic import Field, field_validator
from loretta_framework.api import Bounds, ModalitySettings, ObjectiveSettings, Settings, TaskSchedule


class SymbolsSettings(ModalitySettings):
    size: Annotated[int, Field(gt=0)] = Field(default=8, description="Number of symbols.")
    length: int = Field(default=4, description="Symbols in a value.")
    shape: tuple[int, ...] = (1, 2)

    def bounds(self):
        return Bounds(self.size, self.length, self.length)


class WordsSettings(ModalitySettings):
    vocab_size: int = Field(description="Number of words.")
    longest: int = 5
    case: Literal["keep", "lower"] = "keep"

    @field_validator("longest")
    @classmethod
    def even(cls, value):
        if value < 2:
            raise ValueError("longest must leave room for two words")
        return value

    def bounds(self):
        return Bounds(self.vocab_size, 1, self.longest)


class BadSlotsSettings(ModalitySettings):
    def bounds(self):
        return Bounds(4, 2, 2, (range(2), range(3, 5)))


class BadBoundsSettings(ModalitySettings):
    def bounds(self):
        return Bounds(4, 3, 2)


class RenameSettings(Settings):
    names: dict[str, str] = {}


class Rename:
    def __init__(self, settings, context):
        self.names = settings.names

    def modality_of(self, member):
        return self.names.get(member)


class ShortSettings(Settings):
    width: int = 8


class LateSettings(ObjectiveSettings):
    start: float = 0.25

    def schedule(self):
        return TaskSchedule(start=self.start, every=2)


class Symbols: ...
class Words: ...
class BadBounds: ...
class Short: ...
class Late: ...
"""

RECIPE = """# Symbols and words, words and sounds.
schema_version: 1
name: toys
modalities:
  image: {kind: toy.symbols, settings: {size: 10, length: 6}}
  text: {kind: toy.words, settings: {vocab_size: 20}}
  speech:
    kind: toy.symbols
    settings:
      size: 12
data:
  train:
    - {name: captions, shards: data/captions-*.tar, modalities: [image, text]}
    - name: readings
      shards: data/readings.tar
      modalities: [text, speech]
  test: [{name: triples, shards: data/triples.tar, modalities: [image, text, speech], label: meta.digit}]
objectives:
  - {kind: causal, share: 0.5}
  - {kind: transitive, share: 0.5, settings: {start: 0.5, every: 4}}
train: {steps: 100, batch_tokens: 256, seed: 7}
callbacks: []
"""


def write_shard(path: Path, samples: Sequence[tuple[str, Sequence[str]]]) -> None:
    """A shard whose samples have these members, each with its own name as content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, members in samples:
            for member in members:
                data = f"{key}.{member}".encode()
                info = tarfile.TarInfo(f"{key}.{member}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


class Workshop:
    """A directory with shards in which recipes are written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def recipe(self, text: str = RECIPE, name: str = "toys.yaml") -> Path:
        """Write a recipe."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def shard(self, name: str, counts: Mapping[str, int]) -> Path:
        """Write a shard: member names joined by blanks -> number of samples."""
        path = self.directory / name
        shapes = [members.split() for members, count in counts.items() for _ in range(count)]
        write_shard(path, [(f"{number:04d}", members) for number, members in enumerate(shapes)])
        return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An import path with the toy plugin installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    package = "loretta_plugin_toy"
    source = REGISTRATION.replace("{package}", package)
    write_plugin(folder, "toy", source, version="0.4")
    (folder / package / "toys.py").write_text(TOYS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("LORETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LORETTA_PLUGINS", raising=False)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def workshop(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A directory with the toy plugin, the shards of the toy recipe, and cwd in it."""
    shop = Workshop(tmp_path / "work")
    shop.shard("data/captions-0.tar", {"image.png text.txt meta.json": 6, "image.png": 2})
    shop.shard("data/captions-1.tar", {"image.png text.txt": 4})
    shop.shard("data/readings.tar", {"text.txt speech.wav": 8, "text.txt": 1})
    shop.shard("data/triples.tar", {"image.png text.txt speech.wav meta.json": 5})
    monkeypatch.chdir(shop.directory)
    return shop
