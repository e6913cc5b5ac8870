"""The sound components as an installed plugin, and the same with one thing broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from loretta_framework.testing.broken_plugins import FAULTS, write_plugin
from loretta_framework.testing.conformance.subject import Subject, subjects

SOURCE = """
from loretta_framework.api import (
    CallbackSpec, EvaluatorSpec, ModalityCapabilities, ModalitySpec, SourceSpec, hookimpl
)
ROOM = "sound_components"


def spec(kind, part, settings, factory, trial="", **more):
    more |= {"trial": f"{ROOM}:{trial}"} if trial else {}
    settings, factory = f"{ROOM}:{settings}", f"{ROOM}:{factory}"
    return kind(f"sound.{part}", 1, "Keeps every promise.", settings, factory, **more)


@hookimpl
def register_modalities(register):
    exact = ModalityCapabilities(lossy=False, extensions=("txt",))
    register(spec(ModalitySpec, "letters", "LettersSettings", "Letters", "LETTERS", capabilities=exact))
    learned = ModalityCapabilities(fitted=True, extensions=("json",))
    register(spec(ModalitySpec, "levels", "LevelsSettings", "Levels", "LEVELS", capabilities=learned))
    vectors = ModalityCapabilities(form="continuous", lossy=False, extensions=("json",))
    register(spec(ModalitySpec, "wave", "WaveSettings", "Wave", "WAVE", capabilities=vectors))


@hookimpl
def register_sources(register):
    register(spec(SourceSpec, "folder", "FolderSettings", "Folder"))
    register(spec(SourceSpec, "rows", "FolderSettings", "Rows", "ROWS"))


@hookimpl
def register_callbacks(register):
    register(spec(CallbackSpec, "watch", "FolderSettings", "Quiet"))


@hookimpl
def register_evaluators(register):
    register(spec(EvaluatorSpec, "judge", "FolderSettings", "Quiet"))
"""


ONE = """
from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register):
    register(
        ModalitySpec(
            name="{{name}}.letters",
            version=1,
            summary="Words of a few letters.",
            settings="sound_components:LettersSettings",
            factory="{factory}",
            trial="sound_components:LETTERS",
            capabilities=ModalityCapabilities(lossy=False, extensions=("txt",)),
        )
    )
"""

NOTHING = """
from loretta_framework.api import hookimpl


@hookimpl
def register_modalities(register):
    pass
"""


def install(site: Path) -> None:
    """Write the sound plugin, and others: with a fault each, or with nothing in it."""
    write_plugin(site, "sound", SOURCE)
    write_plugin(site, "heavy", FAULTS["imports_torch"])
    write_plugin(site, "cuts", ONE.format(factory="twins_tokenizers:Cuts"))
    write_plugin(site, "numpy", "import numpy\n" + ONE.format(factory="sound_components:Letters"))
    write_plugin(site, "nothing", NOTHING)
    write_plugin(site, "needy", ONE.format(factory="global_sins:unbuilt"))
    meddles = "import os\nos.environ['MEDDLED'] = 'yes'\n"
    write_plugin(site, "meddles", meddles + ONE.format(factory="sound_components:Letters"))


def sound(name: str) -> Subject:
    """A component of the sound plugin."""
    return replace(_subjects()[f"sound.{name}"])


@cache
def _subjects() -> dict[str, Subject]:
    return {subject.spec.name: subject for subject in subjects("sound")}


def broken(part: str, factory: Any = None, /, **changes: Any) -> Callable[[], Subject]:
    """Makes that component with another factory (a class) or other fields of its spec."""

    def make() -> Subject:
        subject, fields = sound(part), dict(changes)
        if factory is not None:
            fields["factory"] = f"{factory.__module__}:{factory.__qualname__}"
        if "capabilities" in fields:
            fields["capabilities"] = replace(subject.spec.capabilities, **fields["capabilities"])
        return replace(subject, spec=replace(subject.spec, **fields))

    return make


def made(base: type, **members: Any) -> type:
    """A class with other members, importable by name in this process."""
    name = f"Made{len(globals())}"
    globals()[name] = type(name, (base,), {**members, "__module__": __name__})
    return globals()[name]  # type: ignore[no-any-return]


def heavy() -> Subject:
    """A component of the plugin that imports torch."""
    return subjects("heavy")[0]
