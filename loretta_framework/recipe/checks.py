"""What the schema cannot see: names that must be unique, and names that must exist elsewhere.

These look at data as it was written, so that they also report beside faults of the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loretta_framework.api.errors import Problem, nearest
from loretta_framework.recipe.faults import Place
from loretta_framework.recipe.origins import at
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.yaml_reader import KeyPath


def check_names(data: Mapping[str, Any], place: Place) -> list[Problem]:
    """Problems with the names of sets, objectives and the modalities that sets mention."""
    problems: list[Problem] = []
    declared = data.get("modalities")
    for split in SPLITS:
        path: KeyPath = ("data", split)
        sets = _mappings(at(data, path))
        problems += _repeated([(n, item.get("name")) for n, item in sets], path, "sets", place)
        for index, item in sets:
            if isinstance(declared, dict):
                where = (*path, index, "modalities")
                problems += _undeclared(item.get("modalities"), list(declared), where, place)
    named = [
        (n, item.get("name") or item.get("kind")) for n, item in _mappings(data.get("objectives"))
    ]
    return [*problems, *_repeated(named, ("objectives",), "objectives", place)]


def _undeclared(names: Any, declared: list[str], path: KeyPath, place: Place) -> Iterator[Problem]:
    for index, name in enumerate(names if isinstance(names, list) else []):
        if not isinstance(name, str):
            continue
        where = place((*path, index))
        if name not in declared:
            what = f"the modality '{name}' is not declared{nearest(name, declared)}"
            yield Problem(what, where, f"declared in `modalities`: {', '.join(declared)}")
        elif name in names[:index]:
            yield Problem(f"the modality '{name}' is named twice", where, "name it once")


def _repeated(
    named: list[tuple[int, Any]], path: KeyPath, things: str, place: Place
) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in named:
        if isinstance(name, str) and name in seen:
            what = f"{things} must have names of their own, but two are called '{name}'"
            yield Problem(what, place((*path, index, "name")), "give one of them another `name`")
        elif isinstance(name, str):
            seen.add(name)


def _mappings(value: Any) -> list[tuple[int, dict[str, Any]]]:
    items = value if isinstance(value, list) else []
    return [(index, item) for index, item in enumerate(items) if isinstance(item, dict)]
