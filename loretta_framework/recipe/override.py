"""`--set a.b=c`: values by the recipe's own YAML reader, put where the schema then checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from loretta_framework.api.errors import Problem, RecipeError, nearest
from loretta_framework.recipe.origins import Origin, Tree, at, child, item_names, label
from loretta_framework.recipe.schema import Recipe
from loretta_framework.recipe.wording import described
from loretta_framework.recipe.yaml_reader import KeyPath, parse_yaml
from loretta_framework.shards.remote.locations import without_queries

TINY = ("train.steps=10", "checkpoint.every_steps=10")
"""Overrides that make any recipe a check of minutes: `loretta train --tiny`."""


@dataclass(frozen=True, slots=True)
class _Override:
    text: str
    path: KeyPath
    value: Any


class _Refused(Exception):
    """An override that cannot be applied, with its problem."""

    def __init__(self, text: str, what: str, fix: str) -> None:
        self.problem = Problem(what, without_queries(f"--set {text}"), fix)
        super().__init__(what)


def apply_overrides(tree: Tree, overrides: Sequence[str]) -> list[Problem]:
    """Change the tree in place; what cannot be applied is returned, and the rest is applied.

    Paths are found before anything is changed, and kinds are set first, so that the order in which
    overrides are given never matters.
    """
    found: list[_Override] = []
    problems: list[Problem] = []
    for text in overrides:
        try:
            override = _parsed(tree, text)
            _require_alone(override, found)
        except _Refused as refused:
            problems.append(refused.problem)
        else:
            found.append(override)
    for override in sorted(found, key=lambda override: override.path[-1] != "kind"):
        _apply(tree, override)
    return problems


def _parsed(tree: Tree, text: str) -> _Override:
    key, equals, raw = text.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise _Refused(text, "an override must be 'key.key=value'", "see `loretta recipe explain`")
    if keys[0] == "base":
        raise _Refused(text, "`base` cannot be overridden", "write a recipe with that base")
    try:
        value = parse_yaml(raw, "value").data
    except RecipeError as error:
        raise _Refused(text, error.problems[0].what, "put text into quotes") from None
    return _Override(text, _path(tree, keys, text), value)


def _path(tree: Tree, keys: list[str], text: str) -> KeyPath:
    """Keys to a path, list items by name or index; defaults on the way are written out."""
    if len(keys) > 1 and tree.data.get(keys[0]) is None and keys[0] in Recipe.model_fields:
        tree.data[keys[0]] = _default(keys[0])
    path: KeyPath = ()
    value: Any = tree.data
    rest = keys
    while rest:
        key, used = rest[0], 1
        if isinstance(value, list):
            index, used = _index(value, rest, label(tree.data, path), text)
            path = (*path, index)
        elif value is None or isinstance(value, dict):
            path = (*path, key)
        else:
            what = f"'{label(tree.data, path)}' must be a mapping to have a key '{key}', "
            raise _Refused(text, f"{what}but is {described(value)}", "correct the key")
        rest, value = rest[used:], child(value, path[-1])
        if rest and path[0] == "evaluate" and len(path) == 2 and isinstance(value, str):
            value = {"kind": value}
            tree.data["evaluate"][path[1]] = value
    return path


def _default(section: str) -> Any:
    default = Recipe.model_fields[section].get_default(call_default_factory=True)
    if isinstance(default, list):
        return [_written(item) for item in default]
    return _written(default) if isinstance(default, BaseModel) else None


def _written(value: Any) -> Any:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _index(items: list[Any], keys: list[str], parent: str, text: str) -> tuple[int, int]:
    """(index of the item that the first keys address, number of these keys): names may hold dots."""
    names = item_names(items)
    used = next((n for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in names), 1)
    key = ".".join(keys[:used])
    if names.count(key) == 1:
        return names.index(key), used
    if key.isascii() and key.isdigit() and int(key) < len(items):
        return int(key), 1
    if key in names:
        places = " or ".join(str(n) for n, name in enumerate(names) if name == key)
        what = f"'{parent}' has several items '{key}'"
        raise _Refused(text, what, f"address one by its index: {places}")
    known = [name for name in names if name]
    what = f"'{parent}' has no item '{key}'{nearest(key, known)}"
    raise _Refused(text, what, f"its items: {', '.join(known) or 'none'}")


def _require_alone(override: _Override, others: list[_Override]) -> None:
    for other in others:
        length = min(len(other.path), len(override.path))
        if other.path[:length] == override.path[:length]:
            same = other.path == override.path
            shown = without_queries(other.text)
            what = "sets the same key as" if same else "sets what is also set by"
            raise _Refused(override.text, f"{what} '--set {shown}'", "keep one of the two")


def _apply(tree: Tree, override: _Override) -> None:
    origin = Origin("override", without_queries(f"--set {override.text}"))
    path = override.path
    for end in range(1, len(path)):
        if at(tree.data, path[:end]) is None:
            tree.put(path[:end], {}, origin)
    parent = at(tree.data, path[:-1])
    if path[-1] == "kind" and parent.get("kind") != override.value:
        parent.pop("settings", None)
        tree.drop_origins((*path[:-1], "settings"))
    tree.put(path, override.value, origin)
