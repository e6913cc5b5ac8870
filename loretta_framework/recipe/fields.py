"""Walks settings classes by key path: which class or field describes a place in a recipe."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loretta_framework.recipe.yaml_reader import KeyPath


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The class that describes the mapping at a path, None when none does."""
    return next((found for found in _reached(model, path) if _is_model(found)), None)


def field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The field that describes a key, None for list items, free mappings and unknown keys."""
    if not path:
        return None
    owner = model_at(model, path[:-1])
    return owner.model_fields.get(str(path[-1])) if owner else None


def _reached(annotation: Any, path: KeyPath) -> list[Any]:
    found = _alternatives(annotation)
    for part in path:
        found = [inner for kind in found for inner in _step(kind, part)]
    return found


def _alternatives(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [inner for kind in get_args(annotation) for inner in _alternatives(kind)]
    return [annotation]


def _step(kind: Any, part: str | int) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(str(part))
        return _alternatives(field.annotation) if field else []
    arguments = get_args(kind)
    if not arguments:
        return []
    if get_origin(kind) is dict:
        return _alternatives(arguments[1])
    return _alternatives(arguments[0])


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
