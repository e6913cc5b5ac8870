"""Worlds whose optimum is known, as shards and a recipe: the proof that transitive training works.

Bijection world: b is a random string, a = f(b) and c = g(b) letter by letter. Trained on (a, b) and
(b, c) only, -log p(a given c) can fall to 0; without transitive training it stays near chance.

Noisy-link world: a hidden class, uniform over n; each modality shows it as one letter, wrong with a
rate of its own. Transitive training at temperature 1 converges to
q(a, c) = sum_b p(a, b) p(c given b), whose cross-entropy on real pairs is known in closed form.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import random

LETTERS = "abcdefghijklmnop"

Sample = Mapping[str, str]
"""Modality -> text."""


def write_text_shard(path: Path, samples: Sequence[Sample]) -> None:
    """A shard of text members; the sample's number is its key. A value "" leaves the part out."""
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            for name, text in sample.items():
                if not text:
                    continue
                data = text.encode()
                info = tarfile.TarInfo(f"{number:06d}.{name}.txt")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_recipe(
    path: Path,
    *,
    lengths: Mapping[str, int],
    train: Mapping[str, Sequence[str]],
    objectives: Sequence[Mapping[str, object]],
    steps: int,
    batch_tokens: int,
    seed: int = 0,
    **sections: object,
) -> Path:
    """A recipe over text_bytes modalities of fixed length beside its shards.

    Args:
        path: where to write it; sets are `<name>-0.tar` in the same folder.
        lengths: modality -> letters.
        train: set name -> modalities.
        objectives: the recipe's section.
        steps: training steps.
        batch_tokens: tokens of a step.
        seed: of the run.
        sections: further top-level sections.
    """
    recipe: dict[str, object] = {
        "schema_version": 1,
        "name": path.stem,
        "modalities": {
            name: {"kind": "text_bytes", "settings": {"min_tokens": n, "max_tokens": n}}
            for name, n in lengths.items()
        },
        "data": {
            "train": [
                {"name": name, "shards": f"{name}-0.tar", "modalities": list(modalities)}
                for name, modalities in train.items()
            ],
            "test": [{"name": "test", "shards": "test-0.tar", "modalities": list(lengths)}],
            "workers": 0,
        },
        "backbone": {"kind": "transformer", "settings": {"width": 64, "depth": 2, "heads": 4}},
        "objectives": [dict(objective) for objective in objectives],
        "optimizer": {"lr": 2.0e-3, "weight_decay": 0.01, "warmup_steps": 20},
        "train": {"steps": steps, "batch_tokens": batch_tokens, "seed": seed},
        "callbacks": [],
        **sections,
    }
    path.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
    return path


def write_bijection_world(
    directory: Path, count: int = 4000, length: int = 4, seed: int = 0
) -> None:
    """Shards `ab`, `bc` and `test` (all three) of the bijection world."""
    draw = random.generator(seed, "bijection")
    f, g = draw.permutation(len(LETTERS)), draw.permutation(len(LETTERS))

    def samples(number: int, kept: str) -> Iterable[Sample]:
        for b in draw.integers(0, len(LETTERS), size=(number, length)):
            whole = {"a": f[b], "b": b, "c": g[b]}
            yield {name: _text(whole[name]) for name in kept}

    for name, kept, number in (("ab", "ab", count), ("bc", "bc", count), ("test", "abc", 300)):
        write_text_shard(directory / f"{name}-0.tar", list(samples(number, kept)))


def write_noisy_world(
    directory: Path,
    link_error: float,
    end_error: float = 0.02,
    classes: int = 10,
    count: int = 12000,
    seed: int = 0,
) -> None:
    """Shards `ab`, `bc`, `ac` (for an oracle) and `test` of the noisy-link world."""
    errors = {"a": end_error, "b": link_error, "c": end_error}
    sets = {"ab": count, "bc": count, "ac": count, "test": 4000}
    for name, number in sets.items():
        draw = random.generator(seed, "noisy", name)
        hidden = draw.integers(0, classes, size=number)
        kept = "abc" if name == "test" else name
        shown = {m: _flip(hidden, errors[m], classes, draw) for m in kept}
        samples = [{m: LETTERS[shown[m][i]] for m in kept} for i in range(number)]
        write_text_shard(directory / f"{name}-0.tar", samples)


def noisy_link_optimum(link_error: float, end_error: float = 0.02, classes: int = 10) -> float:
    """Cross-entropy, in nats, of the transitive optimum q(a given c) on real pairs (a, c).

    q(a given c) = sum_b p(a given b) p(b given c), classes uniform and errors symmetric.
    """
    end, link = _channel(end_error, classes), _channel(link_error, classes)
    joint_ab = end @ link.T / classes
    joint_bc = link @ end.T / classes
    given_b = joint_bc / joint_bc.sum(axis=1, keepdims=True)
    q_ac = joint_ab @ given_b
    q_a_given_c = q_ac / q_ac.sum(axis=0, keepdims=True)
    real_ac = end @ end.T / classes
    return float(-(real_ac * np.log(q_a_given_c)).sum())


def _channel(error: float, classes: int) -> NDArray[np.float64]:
    """p(shown given hidden): (shown, hidden)."""
    wrong = error / (classes - 1)
    return np.full((classes, classes), wrong) + np.eye(classes) * (1 - error - wrong)


def _flip(
    hidden: NDArray[np.int64], error: float, classes: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    wrong = (hidden + draw.integers(1, classes, size=len(hidden))) % classes
    return np.where(draw.random(len(hidden)) < error, wrong, hidden)


def _text(indices: NDArray[np.int64]) -> str:
    return "".join(LETTERS[i] for i in indices)


def read_text_shard(path: Path) -> list[dict[str, str]]:
    """The samples of a shard that `write_text_shard` made."""
    samples: dict[str, dict[str, str]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, name, _ = member.name.split(".")
            data = tar.extractfile(member)
            assert data is not None
            samples.setdefault(key, {})[name] = data.read().decode()
    return list(samples.values())
