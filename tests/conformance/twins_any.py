"""Components that break what concerns every component."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import sound_components as sound
from pydantic import BaseModel, ConfigDict, Field
from sound_plugin import broken, heavy

from loretta_framework.api import Bounds
from loretta_framework.testing.conformance import Subject

HERE = "twins_any"


class Bare(BaseModel):
    model_config = ConfigDict(extra="forbid")
    max_bytes: int = Field(default=9, description="Bytes.")
    max_tokens: int = Field(default=6, description="Letters.")

    def bounds(self) -> Bounds:
        return Bounds(26, 1, self.max_tokens)


class Lenient(sound.LettersSettings):
    model_config = ConfigDict(extra="ignore")


class Inner(BaseModel):
    depth: int = 3


class Undescribed(sound.LettersSettings):
    inner: Inner | None = Field(default=None, description="Described, but its fields are not.")


class Growing(sound.LettersSettings):
    """Each time it is read, it says more."""

    title: str = Field(default="", description="Of the words.")

    def model_post_init(self, context: Any) -> None:
        object.__setattr__(self, "title", f"{self.title}!")


TABLE: list[int] = []


class Shared(sound.Letters):
    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.table = TABLE


class OnlyHere(sound.Letters):
    """Rests on what the tests' own process has imported."""

    def encode(self, value: Any) -> Any:
        assert "pytest" in sys.modules, "the table was not filled"
        return super().encode(value)


class Sets(sound.Letters):
    """Changes the environment, which every component of the process shares."""

    def encode(self, value: Any) -> Any:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        return super().encode(value)


TWINS: dict[str, Callable[[], Subject]] = {
    "any.name_and_summary": broken("letters", summary="words"),
    "any.references_resolve": broken("letters", trial="sound_components:LETTER"),
    "any.builds": broken("letters", sound.Wave),
    "any.builds_twice": broken("letters", Shared),
    "any.settings_class": broken("letters", settings=f"{HERE}:Bare"),
    "any.refuses_unknown_settings": broken("letters", settings=f"{HERE}:Lenient"),
    "any.settings_described": broken("letters", settings=f"{HERE}:Undescribed"),
    "any.settings_are_plain_data": broken("letters", settings=f"{HERE}:Growing"),
    "any.settings_without_torch": broken("letters", settings="sound_networks:EncoderNetwork"),
    "any.light_import": heavy,
    "any.works_in_a_spawned_process": broken("letters", OnlyHere),
    "any.leaves_global_state_alone": broken("letters", Sets),
}
