"""Checks that concern every component's settings."""

from __future__ import annotations

from typing import Any

from loretta_framework.api.settings import ModalitySettings, ObjectiveSettings, Settings
from loretta_framework.testing.conformance import children, questions
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.subject import Subject

_BASES = {"modality": ModalitySettings, "objective": ObjectiveSettings}


@check("any")
def settings_class(subject: Subject) -> None:
    """The settings class derives from the one that the framework has for its kind.

    Derive it from `ModalitySettings`, `ObjectiveSettings`, or `Settings` for every other kind, all of
    `loretta_framework.api`, and leave `model_config` as it is: strict and frozen settings are what
    makes a recipe mean the same on every machine.
    """
    found, base = subject.spec.settings_class(), _BASES.get(subject.group, Settings)
    derived = isinstance(found, type) and issubclass(found, base)
    require(derived, f"the settings class must derive from `{base.__name__}`")
    for name in ("extra", "frozen", "strict"):
        wanted = Settings.model_config.get(name)
        given = found.model_config.get(name)
        require(given == wanted, f"`model_config` must have {name}={wanted!r}, but has {given!r}")


@check("any")
def refuses_unknown_settings(subject: Subject) -> None:
    """The settings class refuses a key it does not know.

    Derive it from `loretta_framework.api.Settings`, `ModalitySettings` or `ObjectiveSettings`, and
    do not change their `model_config`: a misspelt key in a recipe would otherwise be ignored.
    """
    from pydantic import ValidationError

    try:
        subject.settings_with(no_such_setting=1)
    except ValidationError:
        return
    require(False, "it accepted the key 'no_such_setting'")


@check("any")
def settings_described(subject: Subject) -> None:
    """Every settings field has a description.

    Write `name: int = Field(default=8, description="Measurements of a value.")`. Help, `recipe fill`,
    the editor's schema and the reference are made from it: one sentence with its unit, for someone
    who has not read your code. Fields of nested settings need one too.
    """
    missing = _undescribed(subject.spec.settings_class(), "")
    require(not missing, f"fields without a description: {', '.join(missing)}")


def _undescribed(settings: Any, prefix: str) -> list[str]:
    from pydantic import BaseModel

    missing = []
    for name, field in settings.model_fields.items():
        if not (field.description or "").strip():
            missing.append(prefix + name)
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                missing += _undescribed(part, f"{prefix}{name}.")
    return missing


def _parts(annotation: Any) -> list[Any]:
    """An annotation and what it is made of: `Inner | None` holds `Inner`."""
    inner = [part for argument in getattr(annotation, "__args__", ()) for part in _parts(argument)]
    return [annotation, *inner]


@check("any")
def settings_are_plain_data(subject: Subject) -> None:
    """Settings survive being written down: read back from JSON they are equal.

    Recipes, plans and checkpoints hold settings as plain data. Use numbers, texts, lists, tuples,
    mappings and nested `Settings`; a validator that changes a value must leave alone what it has
    changed before. Other types belong into the component, made from the settings there.
    """
    settings = subject.settings
    text = settings.model_dump_json()
    again = subject.spec.settings_class().model_validate_json(text)
    require(again == settings, f"{settings!r} came back as {again!r}")


@check("any")
def settings_without_torch(subject: Subject) -> None:
    """The module of the settings class can be imported where torch is not installed.

    Recipes are checked, and shards are written, on machines without torch, and in a tenth of the
    time that its import takes. Keep settings in a module of their own that imports pydantic and
    `loretta_framework.api`; import torch where the network is built. The message names the line.
    """
    child = children.torchless(subject.plugin)
    answer = child.ask(questions.settings_class, subject.spec.settings)
    importers = ", ".join(answer.importers)
    require(not answer.importers, f"torch is imported at {importers}")
    answer.taken()
