"""loretta_framework: the loader that training uses; token samples from its token cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from work import BATCH, SAMPLES, decode

from loretta_framework.api.specs import Bounds
from loretta_framework.data.loader import Loader
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import ComponentPlan, ModalityPlan, Plan, SetPlan, TaskPlan
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.train.parts import Parts

MODALITIES = {"images": ("image", "text"), "audio": ("speech", "text")}
_COMPONENT = ComponentPlan("benchmark", 1, "benchmark 1", {})


class Work:
    """A tokenizer that does the benchmark's decoding."""

    def read(self, data: bytes, extension: str) -> Any:
        """The tokens."""
        return decode(f"x.{extension}", data)

    def encode(self, value: Any) -> Any:
        """They are made."""
        return value


def start(folder: Path, kind: str, workers: int, position: int = 0) -> Iterator[int]:
    """Sizes of batches of decoded samples, endlessly, from any position."""
    first = position // BATCH
    loader = _tokens(folder, workers) if kind == "tokens" else _raw(folder, kind, workers)
    for step in loader.steps(first, first + 1_000_000):
        (samples,) = step.values()
        assert all(ids_T.dtype == np.int64 for _, ids_T in samples[0].parts)
        yield len(samples)


def _raw(folder: Path, kind: str, workers: int) -> Loader:
    names = MODALITIES[kind]
    shards = tuple(str(path) for path in sorted((folder / kind).glob("*.tar")))
    found = SetPlan(kind, "train", shards, names, 1.0, "keep", None, SAMPLES[kind], (), None)
    return Loader(_plan(names, (found,)), {name: Work() for name in names}, None, workers)


def _plan(names: tuple[str, ...], sets: tuple[SetPlan, ...]) -> Plan:
    task = TaskPlan("causal", _COMPONENT, 1.0, 1.0, 0, 1, BATCH, (), 100.0)
    return Plan(
        name="benchmark",
        seed=0,
        steps=10**9,
        batch_tokens=10_000,
        shuffle_rows=65_536,
        modalities=tuple(ModalityPlan(name, _COMPONENT, False) for name in names),
        vocabulary=Vocabulary.build({name: Bounds(1024, 1, 512) for name in names}),
        graph=ModalityGraph(names, ()),
        components=(),
        bridges=(),
        sets=sets,
        tasks=(task,),
        backbone=_COMPONENT,
        recipe_hash="",
        data_hash="",
        reasons=(),
        versions={},
    )


def _tokens(folder: Path, workers: int) -> Loader:
    parts = Parts.build(load_recipe(folder / "tokens.yaml"))
    return Loader(parts.plan, parts.modalities, None, workers, tokens=folder / "tokens")
