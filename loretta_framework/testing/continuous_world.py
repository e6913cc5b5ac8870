"""A world with a continuous modality: vectors from which two texts follow, and its plugin.

A hidden class, uniform over 16, is shown by a pulse (three vectors of four numbers, a little noisy)
and by two texts of two letters, `a` and `c`. The texts share no training sample: the pulse joins
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import random
from loretta_framework.shards.writing import ShardWriter
from loretta_framework.testing.broken_plugins import write_plugin
from loretta_framework.testing.toy_worlds import LETTERS

VECTORS, SIZE = 3, 4
"""Of a pulse."""

CLASSES = len(LETTERS)

SETS: Mapping[str, tuple[str, ...]] = {"xa": ("x", "a"), "xc": ("x", "c"), "test": ("x", "a", "c")}
"""Set -> modalities of its samples."""

_REGISTRATION = """
from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


def spec(name, settings, factory):
    return ModalitySpec(
        name="pulse." + name, version=1, summary="For tests.",
        settings="{package}.settings:" + settings, factory="{package}.parts:" + factory,
        capabilities=ModalityCapabilities(form="continuous", extensions=("json",)),
    )


@hookimpl
def register_modalities(register):
    register(spec("beats", "BeatsSettings", "Beats"))
    register(spec("echo", "BeatsSettings", "Echo"))
    register(spec("loose", "LooseSettings", "Beats"))
    register(spec("narrow", "BeatsSettings", "Narrow"))
"""

_SETTINGS = """
from loretta_framework.api import Bounds, ModalitySettings


class BeatsSettings(ModalitySettings):
    vectors: int = 3
    size: int = 4
    hidden: int = 16  # 0: no network, the vectors as they are
    augment: bool = False

    def bounds(self):
        return Bounds(0, self.vectors, self.vectors)


class LooseSettings(BeatsSettings):
    def bounds(self):
        return Bounds(0, 1, self.vectors)
"""

_PARTS = """
import json

import numpy as np

from loretta_framework.api import Artifact


class Files:
    def __init__(self, settings, context):
        self.settings, self.width = settings, settings.size
        if not settings.augment:
            self.augment = None

    def read(self, data, extension):
        return self.parse(json.loads(data))

    def write(self, value):
        return json.dumps(value.tolist()).encode(), "json"

    def show(self, value):
        return [Artifact(" ".join(f"{x:.2f}" for x in value).encode(), "txt")]

    def parse(self, value):
        found = np.asarray(value, dtype=np.float32)
        count = self.settings.vectors * self.settings.size
        if found.shape != (count,):
            raise ValueError(f"a pulse must have {count} numbers, but has shape {found.shape}")
        return found

    def preprocess(self, value):
        return value.reshape(self.settings.vectors, self.settings.size)

    def augment(self, value, random):
        return value + 0.01 * random.standard_normal(value.shape).astype(np.float32)


class Beats(Files):
    def network(self):
        from loretta_plugin_pulse.networks import BeatsNetwork

        return BeatsNetwork(self.settings.size, self.settings.hidden) if self.settings.hidden else None


class Narrow(Files):
    def network(self):
        from loretta_plugin_pulse.networks import NarrowNetwork

        return NarrowNetwork()


class Echo(Files):
    def restore(self, features):
        return features.reshape(-1)

    def decoder(self, width):
        raise NotImplementedError
"""

_NETWORKS = """
import torch
from torch import nn


class BeatsNetwork(nn.Module):
    def __init__(self, size, hidden):
        super().__init__()
        self.width = hidden
        self.register_buffer("scale", torch.ones(1))
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def forward(self, features):
        return self.layers(features * self.scale)


class NarrowNetwork(nn.Module):
    width = 5

    def forward(self, features):
        return features[..., :4]
"""


def write_pulse_plugin(site: Path) -> Path:
    """Install the plugin `pulse`, see `broken_plugins.write_plugin`; the folder of its package.

    Its modalities: `pulse.beats`, an encoder; `pulse.echo`, which is only a decoder; `pulse.loose`,
    whose bounds name no fixed length; `pulse.narrow`, whose network breaks its promise of a width.
    """
    folder = write_plugin(site, "pulse", _REGISTRATION).parent
    texts = {"settings.py": _SETTINGS, "parts.py": _PARTS, "networks.py": _NETWORKS}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def write_pulse_world(directory: Path, count: int = 400, seed: int = 0) -> None:
    """Shards of `SETS` under `directory`; every tenth sample of `xa` is a pulse alone."""
    draw = random.generator(seed, "pulses")
    centers = draw.standard_normal((CLASSES, VECTORS * SIZE))
    letters = {name: [draw.permutation(CLASSES) for _ in range(2)] for name in "ac"}
    for name, modalities in SETS.items():
        with ShardWriter(directory, name) as writer:
            for number in range(count if name != "test" else count // 4):
                shown = int(draw.integers(CLASSES))
                members = {"meta.json": json.dumps({"class": f"k{shown}"}).encode()}
                pulse = centers[shown] + 0.1 * draw.standard_normal(VECTORS * SIZE)
                members["x.json"] = json.dumps(pulse.round(4).tolist()).encode()
                for text in modalities[1:]:
                    if name != "xa" or number % 10:
                        members[f"{text}.txt"] = _letters(letters[text], shown).encode()
                writer.write(f"{name}-{number:05d}", members)


def write_pulse_recipe(path: Path, **changes: Any) -> Path:
    """A recipe beside the shards; `changes` replace its sections."""
    text = {"kind": "text_bytes", "settings": {"min_tokens": 2, "max_tokens": 2}}
    transitive = {"start": 0.25, "every": 4}
    recipe = {
        "schema_version": 1,
        "name": path.stem,
        "modalities": {"x": {"kind": "pulse.beats"}, "a": text, "c": text},
        "data": {
            "train": [_set("xa"), _set("xc")],
            "test": [_set("test", label="meta.class")],
            "workers": 0,
        },
        "backbone": {"kind": "transformer", "settings": {"width": 32, "depth": 1, "heads": 4}},
        "objectives": [
            {"kind": "causal", "share": 0.5, "settings": {"first_segment_weight": 0.3}},
            {"kind": "transitive", "share": 0.5, "settings": transitive},
        ],
        "optimizer": {"lr": 3.0e-3, "warmup_steps": 10},
        "train": {"steps": 16, "batch_tokens": 160, "threads": 1},
        "callbacks": [],
        **changes,
    }
    path.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
    return path


def _set(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shards": f"{name}-*.tar", "modalities": list(SETS[name]), **more}


def _letters(alphabets: list[NDArray[np.int64]], shown: int) -> str:
    return "".join(LETTERS[alphabet[shown]] for alphabet in alphabets)
