"""The product with its own loader: bytes of text from shards, read by loader processes or none."""

from __future__ import annotations

import itertools
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.contestants.ours import transformer
from benchmarks.machine import versions
from benchmarks.product import STEPS
from benchmarks.rounds import Rounds
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.recipe.load import load_recipe
from loretta_framework.shards.writing import ShardWriter
from loretta_framework.train.assemble import assemble
from loretta_framework.train.loop import StepSamples, StepSource, Trainer
from loretta_framework.train.parts import Parts

SAMPLES = 2048
"""In the shards; they come again in another order, epoch after epoch."""


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, workers (loader processes)."""
    shape = spec["shape"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        _write_shards(path / "shards", shape["tokens"])
        (path / "run.yaml").write_text(yaml.safe_dump(_recipe(spec)))
        loaded = load_recipe(path / "run.yaml")
        parts = Parts.build(loaded)
        text = yaml.safe_dump(loaded.resolved_for(path / "run"))
        run = RunDirectory.create(path / "run", text, parts.plan)
        with run.acquire() as lock:
            trainer = assemble(parts, run, lock)
            trainer.loader = _InRounds(trainer, rounds)
            rounds.about(
                parameters=sum(p.numel() for p in trainer.model.parameters()), versions=versions()
            )
            trainer.run()


class _InRounds:
    """The loader's own steps, handed on round by round."""

    def __init__(self, trainer: Trainer, rounds: Rounds) -> None:
        self._trainer, self._rounds = trainer, rounds
        self._loader: StepSource = trainer.loader

    def steps(self, first: int, stop: int) -> Iterator[StepSamples]:
        steps = self._loader.steps(first, stop)
        for pieces in self._rounds:
            tokens = 0.0
            for samples in itertools.islice(steps, pieces):
                yield samples
                tokens += self._trainer.last["tokens"]
            self._rounds.note(units=tokens, loss=self._trainer.last["loss"])


def _write_shards(folder: Path, tokens: int) -> None:
    draws = np.random.default_rng(0)
    letters = np.frombuffer(string.ascii_lowercase.encode(), np.uint8)
    with ShardWriter(folder, "text") as writer:
        for number in range(SAMPLES):
            line = letters[draws.integers(0, len(letters), tokens - 2)].tobytes()
            writer.write(f"{number:06d}", {"text.txt": line})


def _recipe(spec: dict[str, Any]) -> dict[str, Any]:
    shape = spec["shape"]
    tokens = {"max_tokens": shape["tokens"] - 1}
    sets = [{"name": "text", "shards": "shards/text-*.tar", "modalities": ["text"]}]
    return {
        "schema_version": 1,
        "name": "loading",
        "modalities": {"text": {"kind": "text_bytes", "settings": tokens}},
        "data": {"workers": spec["workers"], "train": sets},
        "backbone": transformer(shape),
        "optimizer": {"lr": 1e-3, "warmup_steps": 0},
        "train": {
            "steps": STEPS,
            "threads": 1,
            "compile": "off",
            "precision": spec["precision"],
            "batch_tokens": shape["batch"] * shape["tokens"],
        },
        "checkpoint": {"every_steps": STEPS},
        "callbacks": [],
    }
