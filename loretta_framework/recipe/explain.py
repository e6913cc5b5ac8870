"""One key of a recipe: its value, who set it, what it means, and what the engine made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loretta_framework.api.errors import InputError, nearest
from loretta_framework.recipe.fields import field_at
from loretta_framework.recipe.hashes import completed
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Components
from loretta_framework.recipe.origins import Origin, at, dotted, label
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.schema import Recipe
from loretta_framework.recipe.yaml_reader import KeyPath, walk
from loretta_framework.recipe.yaml_writer import write_yaml


def explain(loaded: LoadedRecipe, components: Components, plan: Plan | None, key: str) -> str:
    """Text on a key; list items are addressed by name or index.

    Args:
        loaded: the recipe.
        components: its checked nodes.
        plan: for the reasons of automatic choices; None leaves them out.
        key: for example `data.train.captions.share`.

    Raises:
        InputError: the recipe has no such key; the nearest one is named.
    """
    data = completed(loaded.resolved, components)
    path = _find(data, key)
    name = label(data, path)
    value = write_yaml(at(data, path)).rstrip("\n")
    block = value if "\n" not in value else "\n  " + value.replace("\n", "\n  ")
    lines = [f"{name}: {block}", f"from: {_origin(loaded, path)}"]
    about = description(components, path)
    lines += [f"about: {about}"] if about else []
    for reason in plan.reasons if plan else ():
        if reason.key == name or reason.key.startswith(f"{name}."):
            at_key = "" if reason.key == name else f"{reason.key}: "
            lines.append(f"automatic: {at_key}{reason.choice}; {reason.why}")
    return "\n".join(lines)


def description(components: Components, path: KeyPath) -> str:
    """What a key means, from the schema or from the settings class of the component it belongs to."""
    for end in range(len(path) - 1, 0, -1):
        component = components.get(path[:end])
        if component is not None and path[end] == "settings" and len(path) > end + 1:
            field = field_at(type(component.settings), path[end + 1 :])
            return (field.description or "") if field else ""
    field = field_at(Recipe, path)
    return (field.description or "") if field else ""


def _find(data: Mapping[str, Any], key: str) -> KeyPath:
    spellings: dict[str, KeyPath] = {}
    for path, _ in walk(dict(data)):
        spellings.setdefault(dotted(path), path)
        spellings.setdefault(label(data, path), path)
    if key in spellings and key:
        return spellings[key]
    hint = nearest(key, [name for name in spellings if name])
    raise InputError(
        f"the recipe has no key '{key}'{hint}", fix="`loretta recipe fill` lists all keys"
    )


def _origin(loaded: LoadedRecipe, path: KeyPath) -> str:
    origin = loaded.origins.get(dotted(path), Origin("default"))
    kinds = {"default": "default", "override": f"override {origin.file}"}
    return kinds.get(origin.kind, str(origin))
