"""The product as `loretta train` assembles it, fed with given samples instead of shards.

A recipe, a plan, `train.assemble` and the training loop are the real ones. Two things differ: the
vocabulary, which is the benchmark's, and the loader, which hands out samples that are in memory.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.contestants.loop import peak
from benchmarks.rounds import Rounds
from loretta_framework.api.specs import Bounds
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.recipe.load import load_recipe
from loretta_framework.sequence.rows import TokenizedSample
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.writing import ShardWriter
from loretta_framework.train.assemble import assemble
from loretta_framework.train.loop import Trainer
from loretta_framework.train.parts import Parts

STEPS = 1_000_000
"""Of the run; so many that the learning rate does not fall while it is measured."""


@contextmanager
def assembled(
    bounds: Mapping[str, Bounds],
    pairs: Sequence[tuple[str, ...]],
    backbone: Mapping[str, Any],
    **sections: Any,
) -> Iterator[Trainer]:
    """A trainer at step 0 with one thread of compute, in a folder that goes afterwards.

    Args:
        bounds: of each modality's tokens.
        pairs: modalities that occur together, a data set each.
        backbone: kind and settings.
        sections: of the recipe, merged into what is set here: train, optimizer, model, objectives.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for names in pairs:
            with ShardWriter(path / "shards", "-".join(names)) as writer:
                writer.write("0", {f"{name}.txt": b"x" for name in names})
        (path / "run.yaml").write_text(yaml.safe_dump(_recipe(bounds, pairs, backbone, sections)))
        loaded = load_recipe(path / "run.yaml")
        parts = Parts.build(loaded)
        parts.plan = replace(parts.plan, vocabulary=Vocabulary.build(bounds))
        text = yaml.safe_dump(loaded.resolved_for(path / "run"))
        run = RunDirectory.create(path / "run", text, parts.plan)
        with run.acquire() as lock:
            yield assemble(parts, run, lock)


def _recipe(
    bounds: Mapping[str, Bounds],
    pairs: Sequence[tuple[str, ...]],
    backbone: Mapping[str, Any],
    sections: Mapping[str, Any],
) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "schema_version": 1,
        "name": "benchmark",
        "modalities": {name: {"kind": "text_bytes"} for name in bounds},
        "allow_disconnected": True,
        "data": {
            "workers": 0,
            "train": [
                {
                    "name": "-".join(names),
                    "shards": f"shards/{'-'.join(names)}-*.tar",
                    "modalities": list(names),
                }
                for names in pairs
            ],
        },
        "backbone": dict(backbone),
        "optimizer": {"lr": 1e-3, "warmup_steps": 0, "weight_decay": 0.1, "clip_norm": 1.0},
        "train": {"steps": STEPS, "threads": 1, "compile": "off"},
        "checkpoint": {"every_steps": STEPS},
        "callbacks": [],
    }
    for name, section in sections.items():
        merge = isinstance(section, Mapping) and isinstance(recipe.get(name), dict)
        recipe[name] = {**recipe[name], **section} if merge else section
    return recipe


class Fed:
    """A `StepSource` that hands out samples round by round: time runs from one round to the next.

    Args:
        trainer: whose loader it becomes; its last loss is noted after each round.
        rounds: how many steps each has.
        steps: the samples of each task, step after step, without end.
    """

    def __init__(
        self, trainer: Trainer, rounds: Rounds, steps: Iterator[dict[str, list[TokenizedSample]]]
    ) -> None:
        self.trainer, self.rounds, self._steps = trainer, rounds, steps

    def steps(self, first: int, stop: int) -> Iterator[dict[str, list[TokenizedSample]]]:
        """Task -> samples, until there are no more rounds."""
        for pieces in self.rounds:
            tokens = 0.0
            for samples in itertools.islice(self._steps, pieces):
                yield samples
                tokens += self.trainer.last["tokens"]  # of the step that the yield came back from
            device = str(self.trainer.stepper.numerics.device)
            self.rounds.note(units=tokens, loss=self.trainer.last["loss"], **peak(device))


def feed(
    trainer: Trainer, rounds: Rounds, steps: Iterator[dict[str, list[TokenizedSample]]]
) -> None:
    """Train until there are no more rounds."""
    trainer.loader = Fed(trainer, rounds, steps)
    trainer.run()
