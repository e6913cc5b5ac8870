"""A tiny tokenizer over bytes, and plans over shards that tests write themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.protocols import Artifact
from loretta_framework.api.specs import Bounds
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.plan import (
    ComponentPlan,
    ModalityPlan,
    Plan,
    SetPlan,
    TaskPlan,
)
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.writing import ShardWriter

Members = Mapping[str, bytes]
COMPONENT = ComponentPlan("toy", 1, "toy 1", {})


class Bytes:
    """Tokens are bytes. The content `bad` cannot be decoded, `bug` shows a broken plugin."""

    def read(self, data: bytes, extension: str) -> bytes:
        if data.startswith(b"bad"):
            raise ValueError("not a toy file")
        if data.startswith(b"bug"):
            raise AttributeError("the plugin is broken")
        if data.startswith(b"die"):
            os._exit(9)
        return data

    def write(self, value: bytes) -> tuple[bytes, str]:
        return value, "bin"

    def show(self, value: bytes) -> Sequence[Artifact]:
        return [Artifact(value, "bin")]

    def parse(self, value: Any) -> bytes:
        return bytes(value)

    def encode(self, value: bytes) -> np.ndarray:
        return np.frombuffer(value, dtype=np.uint8).astype(np.int64)

    def decode(self, ids: np.ndarray) -> bytes:
        return bytes(ids.tolist())


class Noisy(Bytes):
    """Augments by appending a random byte."""

    def augment(self, value: bytes, random: np.random.Generator) -> bytes:
        return value + bytes([int(random.integers(256))])


class Fitted(Bytes):
    """Learns which values occur."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def fit(self, values: Any, seed: int) -> Mapping[str, float]:
        self.seen = list(values)
        assert self.seen == list(values), "values can be iterated again"
        return {"values": float(len(self.seen)), "seed": seed}

    def save(self, directory: Path) -> None:
        (directory / "seen.json").write_text(json.dumps([v.decode() for v in self.seen]))

    def load(self, directory: Path) -> None:
        self.seen = [v.encode() for v in json.loads((directory / "seen.json").read_text())]
        if not self.seen:
            raise ValueError("nothing was seen")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """`write("captions", {"key": {"image.bin": b"..."}})` -> the shards' paths."""

    def make(name: str, samples: Mapping[str, Members], per_shard: int = 5) -> tuple[str, ...]:
        with ShardWriter(tmp_path / "shards", name, per_shard) as writer:
            for key, members in samples.items():
                writer.write(key, members)
        return tuple(str(path) for path in writer.shards)

    return make


def make_set(
    name: str, shards: Sequence[str], modalities: Sequence[str] = ("image", "text"), **changes: Any
) -> SetPlan:
    fields: dict[str, Any] = {
        "split": "train",
        "share": 1.0,
        "missing": "keep",
        "label": None,
        "samples": 0,
        "combinations": (),
        "source": None,
    }
    return SetPlan(
        name=name, shards=tuple(shards), modalities=tuple(modalities), **{**fields, **changes}
    )


def make_task(name: str = "causal", **changes: Any) -> TaskPlan:
    fields: dict[str, Any] = {
        "share": 1.0,
        "weight": 1.0,
        "start_step": 0,
        "every": 1,
        "samples_per_step": 4,
        "extra_samples": (),
        "sequence_tokens": 10.0,
    }
    return TaskPlan(name=name, component=COMPONENT, **{**fields, **changes})


def make_plan(
    sets: Sequence[SetPlan],
    tasks: Sequence[TaskPlan] = (),
    steps: int = 20,
    seed: int = 0,
    fitted: Sequence[str] = (),
    names: Sequence[str] = ("image", "text", "speech"),
) -> Plan:
    return Plan(
        name="toy",
        seed=seed,
        steps=steps,
        batch_tokens=100,
        shuffle_rows=65_536,
        modalities=tuple(ModalityPlan(name, COMPONENT, name in fitted) for name in names),
        vocabulary=Vocabulary.build({name: Bounds(256, 1, 12) for name in names}),
        graph=ModalityGraph(tuple(names), ()),
        components=(),
        bridges=(),
        sets=tuple(sets),
        tasks=tuple(tasks) or (make_task(),),
        backbone=COMPONENT,
        recipe_hash="",
        data_hash="",
        reasons=(),
        versions={},
    )


@pytest.fixture
def toy() -> SimpleNamespace:
    """Builders and tokenizers, by name."""
    return SimpleNamespace(
        Bytes=Bytes,
        Noisy=Noisy,
        Fitted=Fitted,
        set=make_set,
        task=make_task,
        plan=make_plan,
        component=COMPONENT,
    )
