"""Modalities that break what concerns all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import sound_components as sound
from sound_plugin import broken

from loretta_framework.api import Artifact, Bounds
from loretta_framework.testing.conformance import Subject

HERE = "twins_modalities"


class NoIds(sound.LettersSettings):
    def bounds(self) -> Bounds:
        return Bounds(26, 1, self.max_tokens, slots=(range(26),))


class Unpicklable(sound.Letters):
    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.shift = lambda number: number


class HashOrder(sound.Letters):
    """Numbers letters in the order of a set, which the hash seed decides."""

    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.order = list({f"letter {n}" for n in range(26)})

    def encode(self, value: Any) -> Any:
        places = [self.order.index(f"letter {n}") for n in super().encode(value)]
        return np.array(places, np.int64)


class Doubling(sound.Letters):
    def parse(self, value: Any) -> Any:
        return super().parse(value) * 2


class TypeErrors(sound.Letters):
    def parse(self, value: Any) -> Any:
        return value if value.isalpha() else super().parse(value)


class FalsePictures(sound.Letters):
    def show(self, value: Any) -> list[Any]:
        return [Artifact(value.encode(), "png")]


class WritesToIt(sound.Levels):
    def encode(self, value: Any) -> Any:
        ids = super().encode(value)
        value *= 0
        return ids


class OwnDice(sound.Letters):
    def augment(self, value: Any, random: np.random.Generator) -> Any:
        return value[: np.random.default_rng().integers(1, len(value) + 1)]


class LongFeatures(sound.Letters):
    def features(self, value: Any) -> Any:
        return np.zeros((1, 1, len(value)), np.float32)


class OtherFile(sound.Letters):
    def write(self, value: Any) -> tuple[bytes, str]:
        return value.encode(), ".txt"


class Backwards(sound.Letters):
    def write(self, value: Any) -> tuple[bytes, str]:
        return value[::-1].encode(), "txt"


class KeyErrors(sound.Levels):
    def write(self, value: Any) -> tuple[bytes, str]:
        return json.dumps({"numbers": [float(number) for number in value]}).encode(), "json"

    def read(self, data: bytes, extension: str) -> Any:
        return self.parse(json.loads(data)["numbers"])


TWINS: dict[str, Callable[[], Subject]] = {
    "modality.bounds_are_sound": broken("letters", settings=f"{HERE}:NoIds"),
    "modality.has_examples": broken("levels", trial=""),
    "modality.survives_pickling": broken("letters", Unpicklable),
    "modality.same_in_another_process": broken("letters", HashOrder),
    "modality.parses_values": broken("letters", Doubling),
    "modality.parses_or_refuses": broken("letters", TypeErrors),
    "modality.shows_artifacts": broken("letters", FalsePictures),
    "modality.values_stay_unchanged": broken("levels", WritesToIt),
    "modality.augments_by_its_generator": broken("letters", OwnDice),
    "modality.features_can_be_judged": broken("letters", LongFeatures),
    "modality.names_its_files": broken("letters", OtherFile),
    "modality.reads_what_it_writes": broken("letters", Backwards),
    "modality.refuses_damaged_files": broken("levels", KeyErrors),
}
