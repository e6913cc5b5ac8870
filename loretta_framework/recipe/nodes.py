"""`{kind, settings}` nodes: looked up in the registry and checked with the component's own class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from loretta_framework.api.errors import PluginError, Problem
from loretta_framework.api.specs import ComponentSpec
from loretta_framework.recipe.faults import Place, problems_of
from loretta_framework.recipe.origins import at
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import ComponentPlan
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Group, Registry


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a recipe that names a component.

    Attributes:
        path: key path of the node.
        kind_path: key path of its kind; the node's own where only the kind is written.
        group: what kind of component is needed there.
        kind: the name that stands there.
        settings: what stands there, not validated.
    """

    path: KeyPath
    kind_path: KeyPath
    group: Group
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


def needed_plugins(data: Mapping[str, Any]) -> set[str]:
    """The prefixes of all kinds in a recipe: the only plugins that are imported for it."""
    needed = set()
    for node in nodes(data):
        parts = node.kind.split(".")
        needed |= {".".join(parts[:count]) for count in range(1, len(parts))}
    return needed


def check_nodes(
    data: Mapping[str, Any], registry: Registry, place: Place
) -> tuple[dict[KeyPath, Component], list[Problem]]:
    """The components of a recipe by node path, and what is wrong with the others."""
    found: dict[KeyPath, Component] = {}
    problems: list[Problem] = []
    for node in nodes(data):
        try:
            spec = registry.spec(node.group, node.kind)
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
    return found, problems


def settings_class(spec: ComponentSpec) -> type[BaseModel]:
    """Import a component's settings class.

    Raises:
        PluginError: the import fails, or it is no settings class; the fault is the plugin's.
    """
    try:
        found = spec.settings_class()
    except Exception as error:  # a plugin's module may raise anything when it is imported
        raise PluginError(f"{type(error).__name__}: {error}", where=spec.settings) from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise PluginError("it is not a settings class", where=spec.settings)
    return found


def _settings(
    node: Node, spec: ComponentSpec, registry: Registry, place: Place
) -> tuple[Any, list[Problem]]:
    path = (*node.path, "settings")
    blame = f"the settings of '{node.kind}' ({registry.distribution(node.kind)}) cannot be used"
    fix = "report it to the authors of that package, or use another version of it"
    try:
        model = settings_class(spec)
    except PluginError as error:
        return None, [Problem(f"{blame}: {error.what} ({error.where})", place(node.kind_path), fix)]
    try:
        # Read as JSON, strict validation still takes a list for a tuple and text for a path, which
        # it refuses in Python objects.
        settings = model.model_validate_json(json.dumps(node.settings))
        if node.group == "modality":
            _require_bounds(settings)
    except ValidationError as error:
        return None, problems_of(error, model, node.settings, place, path)
    except Exception as error:  # a validator or `bounds` of a plugin may raise anything
        return None, [
            Problem(f"{blame}: {type(error).__name__}: {error}", place(node.kind_path), fix)
        ]
    return settings, []


def _require_bounds(settings: Any) -> None:
    bounds = settings.bounds()
    if bounds.vocab_size < 0 or not 1 <= bounds.min_tokens <= bounds.max_tokens:
        raise ValueError(
            f"bounds() must have vocab_size >= 0 and 1 <= min_tokens <= max_tokens, but is {bounds}"
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
