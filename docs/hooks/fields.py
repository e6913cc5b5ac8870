"""Settings classes as tables: name, type, default, meaning."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


def table(model: type[BaseModel]) -> Iterator[str]:
    """Markdown lines: a row for each field."""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        cells = (f"`{name}`", kind(field.annotation) + bounds(field), default(field))
        text = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| {' | '.join(cells)} | {text} |"


def nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models that its fields hold, each once, in order."""
    seen: dict[type[BaseModel], None] = {}
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            seen.setdefault(inner)
    yield from seen


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def kind(annotation: Any) -> str:
    """A type in words that a recipe's author knows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(item) for item in arguments))
    if origin is Literal:
        return " or ".join(f"`{item}`" for item in arguments)
    if origin in (list, tuple):
        inner = [kind(item) for item in arguments if item is not ...]
        return f"list of {' or '.join(dict.fromkeys(inner))}" if inner else "list"
    if origin is dict:
        return f"mapping to {kind(arguments[1])}"
    if annotation is type(None):
        return "`null`"
    names = {int: "integer", float: "number", str: "text", bool: "`true`/`false`", Any: "anything"}
    return names.get(annotation) or f"[{annotation.__name__}](#{annotation.__name__.lower()})"


def bounds(field: FieldInfo) -> str:
    """The range of a number, ", 0 to 1", "" when there is none."""
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    found = []
    for item in field.metadata:
        for sign, text in signs.items():
            if isinstance(item, sign):
                found.append(f"{text} {vars_of(item):g}")
    return f", {', '.join(found)}" if found else ""


def vars_of(item: Any) -> float:
    """The number that a bound holds."""
    return float(
        next(v for v in (getattr(item, n, None) for n in ("ge", "gt", "le", "lt")) if v is not None)
    )


def default(field: FieldInfo) -> str:
    """The default as a recipe would write it, "required" when there is none."""
    if field.default_factory is not None:
        value = field.default_factory()  # type: ignore[call-arg]
    elif field.default is PydanticUndefined:
        return "required"
    else:
        value = field.default
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return "see below"
    return f"`{json.dumps(value)}`"
