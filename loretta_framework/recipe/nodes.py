"""`{kind, settings}` nodes: looked up in the registry and checked with the component's own class."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from loretta_framework.api.errors import PluginError, Problem
from loretta_framework.api.settings import ComponentNode
from loretta_framework.api.specs import ComponentSpec
from loretta_framework.recipe.faults import Place, problems_of
from loretta_framework.recipe.origins import at
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import ComponentPlan
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Group, Registry
from loretta_framework.registry.faults import FIX, cause_of
from loretta_framework.registry.guard import contained
from loretta_framework.registry.promises import require_promises, settings_class


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a recipe that names a component.

    Attributes:
        path: key path of the node.
        kind_path: key path of its kind; the node's own where only the kind is written.
        group: what kind of component is needed there; None inside another's settings.
        kind: the name that stands there.
        settings: what stands there, not validated.
    """

    path: KeyPath
    kind_path: KeyPath
    group: Group | None
    kind: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Component:
    """A node whose component exists and accepts its settings."""

    node: Node
    spec: ComponentSpec
    settings: Any
    plan: ComponentPlan


Components = Mapping[KeyPath, Component]


def nodes(data: Mapping[str, Any]) -> Iterator[Node]:
    """Every well-formed node of a recipe, in recipe order; others are the schema's to report."""
    for path, group, value in _places(data):
        kind_path = (*path, "kind")
        if isinstance(value, str) and group == "evaluator":
            value, kind_path = {"kind": value}, path
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            settings = value.get("settings", {})
            if isinstance(settings, dict):
                yield Node(path, kind_path, group, value["kind"], settings)


def _places(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Group, Any]]:
    modalities = data.get("modalities")
    for name, value in modalities.items() if isinstance(modalities, dict) else ():
        yield ("modalities", name), "modality", value
    for split in SPLITS:
        for index, item in enumerate(_list(at(data, ("data", split)))):
            if isinstance(item, dict):
                yield ("data", split, index, "source"), "source", item.get("source")
    yield ("backbone",), "backbone", data.get("backbone")
    lists: dict[str, Group] = {
        "objectives": "objective",
        "callbacks": "callback",
        "evaluate": "evaluator",
    }
    for section, group in lists.items():
        for index, value in enumerate(_list(data.get(section))):
            yield (section, index), group, value


def nested_kinds(settings: Any) -> Iterator[str]:
    """The kinds of all mappings in settings that look like nodes; no settings class is needed."""
    if isinstance(settings, Mapping):
        kind = settings.get("kind")
        if isinstance(kind, str) and settings.keys() <= {"kind", "settings"}:
            yield kind
        for value in settings.values():
            yield from nested_kinds(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from nested_kinds(value)


def prefixes(kind: str) -> set[str]:
    """What may be the plugin of a kind: "a" and "a.b" of "a.b.c"."""
    parts = kind.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def needed_plugins(data: Mapping[str, Any]) -> set[str]:
    """The prefixes of all kinds in a recipe, nested ones too: only those plugins are imported."""
    kinds = (kind for node in nodes(data) for kind in (node.kind, *nested_kinds(node.settings)))
    return set().union(*map(prefixes, kinds))


def check_nodes(
    data: Mapping[str, Any], registry: Registry, place: Place
) -> tuple[dict[KeyPath, Component], list[Problem]]:
    """The components of a recipe by node path, and what is wrong with the others."""
    found: dict[KeyPath, Component] = {}
    problems: list[Problem] = []
    named = needed_plugins(data)
    waiting = deque(nodes(data))
    while waiting:
        node = waiting.popleft()
        try:
            _require_written(node, named)
            spec = registry.spec(node.group or registry.group(node.kind), node.kind)
        except PluginError as error:
            cause = f" ({error.where})" if error.where else ""
            problems.append(Problem(error.what + cause, place(node.kind_path), error.fix))
            continue
        settings, faults = _settings(node, spec, registry, place)
        problems += faults
        if not faults:
            plain = settings.model_dump(mode="json")
            source = registry.distribution(node.kind)
            plan = ComponentPlan(node.kind, spec.version, source, plain)
            found[node.path] = Component(node, spec, settings, plan)
            waiting.extend(_nested(settings, (*node.path, "settings")))
    return found, problems


def _nested(value: Any, path: KeyPath) -> Iterator[Node]:
    """The components that validated settings name, themselves not looked into."""
    if isinstance(value, BaseModel):
        items: Iterable[tuple[Any, Any]] = value
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        if isinstance(item, ComponentNode):
            inner = (*path, key)
            yield Node(inner, (*inner, "kind"), None, item.kind, item.settings)
        else:
            yield from _nested(item, (*path, key))


def _require_written(node: Node, named: set[str]) -> None:
    """A default must not bring a plugin that the recipe does not show."""
    if "." in node.kind and not prefixes(node.kind) & named:
        raise PluginError(
            f"'{node.kind}' is a default, and its plugin is not named in the recipe",
            fix=f"write it out: kind: {node.kind}",
        )


def _settings(
    node: Node, spec: ComponentSpec, registry: Registry, place: Place
) -> tuple[Any, list[Problem]]:
    path = (*node.path, "settings")
    blame = f"the settings of '{node.kind}' ({registry.distribution(node.kind)}) cannot be used"
    try:
        model = settings_class(spec)
        # Read as JSON, strict validation still takes a list for a tuple and text for a path, which
        # it refuses in Python objects.
        with contained():
            settings = model.model_validate_json(json.dumps(node.settings))
        require_promises(spec, settings)
    except ValidationError as error:
        return None, problems_of(error, model, node.settings, place, path)
    except PluginError as error:
        what = f"{blame}: {error.what} ({error.where})"
        return None, [Problem(what, place(node.kind_path), FIX)]
    except Exception as error:  # a validator of a plugin may raise anything
        what = f"{blame}: {cause_of(error)}"
        return None, [Problem(what, place(node.kind_path), FIX)]
    return settings, []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
