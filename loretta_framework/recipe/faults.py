"""A pydantic error becomes problems with the full dotted key, its line, and words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from loretta_framework.api.errors import Problem, nearest
from loretta_framework.recipe.fields import field_at, model_at
from loretta_framework.recipe.origins import child
from loretta_framework.recipe.wording import described, is_mismatch, sentence
from loretta_framework.recipe.yaml_reader import KeyPath

Fault = Mapping[str, Any]
Place = Callable[[KeyPath], str]
"""From a key path in the recipe to "file:line: dotted.key"."""


def problems_of(
    error: ValidationError, model: type[BaseModel], data: Any, place: Place, prefix: KeyPath = ()
) -> list[Problem]:
    """Every fault of `data`, in its order.

    Args:
        error: what validation raised.
        model: the class that validated.
        data: the value it was given.
        place: names the place of a path.
        prefix: path of `data` in the recipe.
    """
    groups: dict[KeyPath, dict[str, list[tuple[KeyPath, Fault]]]] = {}
    for fault in error.errors(include_url=False):
        path, root, branch = _located(fault, model, data)
        groups.setdefault(root, {}).setdefault(branch, []).append((path, fault))
    problems = []
    for root, branches in groups.items():
        for path, faults in _chosen(root, branches):
            problems.append(_problem(faults, path, model, place, prefix))
    return problems


def _located(fault: Fault, model: type[BaseModel], data: Any) -> tuple[KeyPath, KeyPath, str]:
    """(path in the data, path of the union it came from, name of the union's alternative).

    pydantic puts the names of alternatives into the location; they are no keys. A fault outside a
    union is its own group, told by its path.
    """
    path: KeyPath = ()
    root: KeyPath | None = None
    branch = ""
    value = data
    for part in fault["loc"]:
        if part == "[key]":
            break
        inside = child(value, part)
        written = inside is not None or (isinstance(value, dict) and part in value)
        if not written and field_at(model, (*path, part)) is None:
            root, branch = (path, str(part)) if root is None else (root, f"{branch}.{part}")
            continue
        path, value = (*path, part), inside
    return path, path if root is None else root, branch


def _chosen(
    root: KeyPath, branches: dict[str, list[tuple[KeyPath, Fault]]]
) -> list[tuple[KeyPath, list[Fault]]]:
    """Of a union's alternatives, the faults of the one that was meant; else all in one sentence."""
    deeper = [
        found for found in branches.values() if all(len(path) > len(root) for path, _ in found)
    ]
    if deeper or list(branches) == [""]:
        meant = min(deeper or branches.values(), key=len)
        return [(path, [fault]) for path, fault in meant]
    flat = [fault for found in branches.values() for path, fault in found if path == root]
    closer = [fault for fault in flat if not is_mismatch(fault)]
    if closer and all(fault["type"] == "literal_error" for fault in closer):
        closer = flat
    return [(root, closer or flat)]


def _problem(
    faults: list[Fault], path: KeyPath, model: type[BaseModel], place: Place, prefix: KeyPath
) -> Problem:
    where = place(prefix + path)
    if faults[0]["type"] == "extra_forbidden":
        owner = model_at(model, path[:-1])
        known = sorted(owner.model_fields) if owner else []
        what = f"unknown key {described(str(path[-1]))}{nearest(str(path[-1]), known)}"
        return Problem(what, where, f"known keys: {', '.join(known) or 'none'}")
    field = field_at(model, path)
    return Problem(sentence(faults), where, (field.description or "") if field else "")
