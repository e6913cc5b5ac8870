"""Small components that keep every promise: what the broken ones are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from loretta_framework.api import Artifact, Bounds, ModalitySettings, Settings, Trial, checked_ids
from loretta_framework.api.errors import ShardError
from loretta_framework.api.keys import key_hashes


class LettersSettings(ModalitySettings):
    max_tokens: int = Field(default=6, ge=1, description="Longest word in letters.")

    def bounds(self) -> Bounds:
        return Bounds(26, 1, self.max_tokens)


class Letters:
    """Words of the letters a to z; nothing is lost."""

    def __init__(self, settings: Any, context: Any) -> None:
        self.settings = settings

    def read(self, data: bytes, extension: str) -> Any:
        return self.parse(data.decode("ascii"))

    def write(self, value: Any) -> tuple[bytes, str]:
        return value.encode("ascii"), "txt"

    def show(self, value: Any) -> list[Any]:
        return [Artifact(value.encode("ascii"), "txt")]

    def parse(self, value: Any) -> Any:
        if not isinstance(value, str) or not value or not value.isascii() or not value.islower():
            raise ValueError(f"a word must be letters from a to z, but is {value!r}")
        if not value.isalpha():
            raise ValueError(f"a word must be letters alone, but is {value!r}")
        return value

    def encode(self, value: Any) -> Any:
        if len(value) > self.settings.max_tokens:
            raise ValueError(f"a word must have at most {self.settings.max_tokens} letters")
        return np.array([ord(letter) - ord("a") for letter in value], np.int64)

    def decode(self, ids: Any) -> Any:
        return "".join(chr(ord("a") + number) for number in checked_ids(ids, 26).tolist())

    def features(self, value: Any) -> Any:
        return np.array([[[float(value.count(chr(97 + n))) for n in range(26)]]], np.float32)

    def augment(self, value: Any, random: np.random.Generator) -> Any:
        return "".join(random.permutation(list(value)))


def words(settings: Any, random: np.random.Generator, count: int) -> list[str]:
    lengths = [1, settings.max_tokens, *random.integers(1, settings.max_tokens + 1, count)]
    return ["".join(random.choice(list("abcdefxyz"), n)) for n in lengths[:count]]


LETTERS = Trial(values=words, refused=lambda settings, random, count: ["abcdefg"])


class LevelsSettings(ModalitySettings):
    size: int = Field(default=4, ge=1, description="Numbers of a value.")
    levels: int = Field(default=8, ge=2, description="Levels that are learned.")

    def bounds(self) -> Bounds:
        return Bounds(self.levels, self.size, self.size, (range(self.levels),) * self.size)


class Numbers:
    """Float32 numbers from 0 to 1: what two modalities have in common."""

    def __init__(self, settings: Any, context: Any) -> None:
        self.settings = settings

    def read(self, data: bytes, extension: str) -> Any:
        try:
            return self.parse(json.loads(data))
        except RecursionError as error:
            raise ValueError("a value must be numbers, but is a deep nest") from error

    def write(self, value: Any) -> tuple[bytes, str]:
        return json.dumps([float(number) for number in value]).encode(), "json"

    def show(self, value: Any) -> list[Any]:
        return [Artifact(self.write(value)[0], "txt")]

    def parse(self, value: Any) -> Any:
        try:
            array = np.asarray(value, np.float32)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"a value must be numbers: {error}") from error
        if array.shape != (self.settings.size,) or not np.isfinite(array).all():
            raise ValueError(f"a value must be {self.settings.size} finite numbers")
        return array


class Levels(Numbers):
    """Each number as the nearest of levels that were learned."""

    levels: Any = None

    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        numbers = np.array([number for value in values for number in value], np.float32)
        if not len(numbers):
            raise ValueError("there must be at least one value to fit on")
        self.levels = np.quantile(numbers, np.linspace(0, 1, self.settings.levels))
        return {"values": float(len(numbers))}

    def save(self, directory: Path) -> None:
        levels = self.fitted().tolist()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "levels.json").write_text(json.dumps({"levels": levels}))

    def load(self, directory: Path) -> None:
        try:
            found = json.loads((directory / "levels.json").read_bytes())["levels"]
        except (OSError, KeyError) as error:
            raise ValueError(f"the levels cannot be read: {error}") from error
        if len(found) != self.settings.levels:
            raise ValueError("the levels are of other settings")
        self.levels = np.array(found)

    def fitted(self) -> Any:
        if self.levels is None:
            raise ValueError("it must be fitted or loaded before it is used")
        return self.levels

    def encode(self, value: Any) -> Any:
        return np.abs(self.parse(value)[:, None] - self.fitted()).argmin(axis=1).astype(np.int64)

    def decode(self, ids: Any) -> Any:
        return self.fitted()[checked_ids(ids, self.settings.levels)].astype(np.float32)


def numbers(settings: Any, random: np.random.Generator, count: int) -> list[Any]:
    return list(random.random((count, settings.size), np.float32))


def distance(first: Any, second: Any) -> float:
    return float(np.abs(first - second).max())


LEVELS = Trial(values=numbers, distance=distance, max_distance=0.2)


class WaveSettings(ModalitySettings):
    size: int = Field(default=6, ge=2, description="Numbers of a value.")

    def bounds(self) -> Bounds:
        return Bounds(0, 2, 2)


class Wave(Numbers):
    """Numbers as two vectors: can be given to a model, and can be made by one."""

    def preprocess(self, value: Any) -> Any:
        return value.reshape(2, -1).copy()

    def restore(self, features: Any) -> Any:
        return np.clip(features.reshape(-1), 0, 1)

    def network(self) -> Any:
        from sound_networks import EncoderNetwork

        return EncoderNetwork(self.settings.size // 2)

    def decoder(self, width: int) -> Any:
        from sound_networks import DecoderNetwork

        return DecoderNetwork(width, self.settings.size // 2)


WAVE = Trial(values=numbers)


class FolderSettings(Settings):
    modalities: tuple[str, ...] = Field(default=("image", "text"), description="What is taken.")


class Folder:
    """A source that takes members by the part before the first dot."""

    def __init__(self, settings: Any, context: Any) -> None:
        self.settings = settings

    def modality_of(self, member: str) -> str | None:
        name = member.partition(".")[0]
        return name if name in self.settings.modalities else None


class Store:
    """Samples of a JSON list of [key, text] rows."""

    shapes: Sequence[tuple[str, ...]] = (("text.txt",),)
    starts: Sequence[int] = (0,)
    digest = "0123abcd"

    def __init__(self, rows: list[list[str]]) -> None:
        self.rows = rows
        self.shape_S = np.zeros(len(rows), np.uint32)

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, sample: int) -> str:
        return self.rows[sample][0]

    def key_hashes(self) -> Any:
        return key_hashes([row[0] for row in self.rows])

    def place(self, sample: int) -> str:
        return "rows"

    def size(self, sample: int, member: int) -> int:
        return len(self.read(sample, member))

    def read(self, sample: int, member: int) -> bytes:
        return self.rows[sample][1].encode()


class Rows(Folder):
    """A row source."""

    store: Any = Store

    def open(self, patterns: Sequence[str], base: Path) -> Any:
        path = base / patterns[0]
        if not path.exists():
            raise ShardError(f"nothing matches '{patterns[0]}'", where=str(base))
        return self.store(json.loads(path.read_text()))


def write_rows(folder: Path) -> list[str]:
    (folder / "rows.json").write_text('[["a", "one"], ["b", "three"], ["c", ""]]')
    return ["rows.json"]


ROWS = Trial(write_shards=write_rows)


class Quiet:
    """A callback that counts, and an evaluator with one figure."""

    def __init__(self, settings: Any, context: Any) -> None:
        self.seen = 0

    def on_start(self, run: Any) -> None:
        self.seen = run.step

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        self.seen += 1

    def on_end(self, run: Any) -> None:
        self.seen = 0

    def evaluate(self, context: Any) -> dict[str, Any]:
        count = float(len(context.samples))
        figure = {"value": count, "interval": [count, count]}
        return {"edges": {"english->figures": {"samples": figure}}, "seen": ("a", 1)}
