"""Plain data from a file to the frozen classes of a plan; a file from somewhere may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from loretta_framework.sequence.vocabulary import Vocabulary

if TYPE_CHECKING:
    from loretta_framework.recipe.plan import Plan

_LARGEST_NUMBER = 2**63 - 1
LARGEST_SIZE = 2**31
"""Ids and tokens of a modality, and ids of a vocabulary: more would fit no table of weights."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A stored block; slots are [start, stop]."""

    modality: str
    start: int
    vocab_size: int
    min_tokens: int
    max_tokens: int
    slots: tuple[tuple[int, int], ...] = ()


def parsed(hint: Any, value: Any, key: str = "") -> Any:
    """`value` as the type of `hint`: lists become tuples, mappings dataclasses, nothing else is
    converted. A field that has a default may be missing, an unknown one may not be there.

    Args:
        hint: a dataclass, a plain type, or a tuple, dict or union of these.
        value: as JSON gives it.
        key: where it stands, for messages.

    Raises:
        ValueError: says what must be where.
    """
    if hint is Any:
        return value
    if is_dataclass(hint):
        return _instance(hint, value, key)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (inner,) = [part for part in arguments if part is not NoneType]
        return None if value is None else parsed(inner, value, key)
    if origin is tuple:
        return _items(arguments, value, key)
    if origin is dict:
        _require(isinstance(value, dict), key, "a mapping", value)
        return {name: parsed(arguments[1], part, f"{key}.{name}") for name, part in value.items()}
    if hint in (int, float):
        return _number(hint, value, key)
    _require(isinstance(value, hint), key, _NAMES.get(hint, hint.__name__), value)
    return value


def vocabulary_of(data: Any, key: str = "vocabulary") -> Vocabulary:
    """The vocabulary of `Vocabulary.to_json`'s data, which a file may hold.

    Raises:
        ValueError: the data is not a vocabulary's, or far too large.
        RecipeError: its blocks contradict each other.
    """
    for number, block in enumerate(parsed(tuple[_Block, ...], data, key)):
        sizes = (block.start, block.vocab_size, block.max_tokens)
        if max(sizes) > LARGEST_SIZE or block.start + block.vocab_size > LARGEST_SIZE:
            text = f"sizes of at most {LARGEST_SIZE}, but has {max(sizes)}"
            raise ValueError(f"{key}.{number} must have {text}")
    return Vocabulary.from_json(data)


def require_known_names(plan: Plan) -> None:
    """Raise `ValueError` when a part of the plan speaks of a modality that it does not have."""
    known = {item.name for item in plan.modalities}
    spoken = {
        "vocabulary": plan.vocabulary.modalities,
        "graph.nodes": plan.graph.nodes,
        "graph.inputs": plan.graph.inputs,
        "graph.observed": [name for pair, _ in plan.graph.observed for name in pair],
        "components": [name for part in plan.components for name in part],
        "bridges": [n for b in plan.bridges for path in (b.pair, *b.paths) for n in path],
        "sets": [n for s in plan.sets for part in (s.modalities, *_combos(s)) for n in part],
    }
    for key, names in spoken.items():
        strange = sorted({*names} - known)
        if strange:
            raise ValueError(f"{key} must name modalities of the plan, but names {strange}")
    for number, bridge in enumerate(plan.bridges):
        if any((*path[:1], *path[-1:]) != bridge.pair for path in bridge.paths):
            raise ValueError(f"bridges.{number}.paths must lead from one of its pair to the other")


def _combos(item: Any) -> list[tuple[str, ...]]:
    return [names for names, _ in item.combinations]


_NAMES = {str: "text", bool: "true or false"}


def _require(holds: bool, key: str, wanted: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{key or 'it'} must be {wanted}, but is {value!r:.60}")


def _number(hint: type, value: Any, key: str) -> Any:
    """An integer stands for a float too. No number of a plan is below 0."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if hint is int:
        _require(whole and 0 <= value <= _LARGEST_NUMBER, key, "a whole number >= 0", value)
    else:
        real = whole or isinstance(value, float)
        sound = real and 0 <= value <= _LARGEST_NUMBER and math.isfinite(value)
        _require(sound, key, "a finite number >= 0", value)
    return value


def _items(hints: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), key, "a list", value)
    if len(hints) == 2 and hints[1] is ...:
        hints = hints[:1] * len(value)
    _require(len(value) == len(hints), key, f"a list of {len(hints)}", value)
    work = enumerate(zip(hints, value, strict=True))
    return tuple(parsed(hint, part, f"{key}.{number}") for number, (hint, part) in work)


def _instance(kind: Any, value: Any, key: str) -> Any:
    if isinstance(value, kind):
        return value
    _require(isinstance(value, Mapping), key, "a mapping", value)
    below, known = f"{key}." if key else "", {item.name: item for item in fields(kind)}
    missing = [n for n, item in known.items() if n not in value and item.default is MISSING]
    unknown = [str(name) for name in value if name not in known]
    if missing or unknown:
        raise ValueError(f"{key or 'it'} must have the keys {missing} and not {unknown}")
    hints = _hints(kind)
    return kind(**{name: parsed(hints[name], part, below + name) for name, part in value.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
