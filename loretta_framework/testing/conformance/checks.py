"""What a check is, and where all are gathered.

A check is a function with a docstring: its first sentence says what must hold, the rest how to mend
a component that fails. Both are shown when it fails, and make its page in the documentation.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from loretta_framework.testing.conformance.subject import Subject

Kind: TypeAlias = Literal[
    "any",
    "modality",
    "tokenizer",
    "fitted",
    "encoder",
    "decoder",
    "backbone",
    "objective",
    "callback",
    "evaluator",
    "source",
]
"""What a check concerns: "any" every component, "modality" all three forms of one, "fitted" those
tokenizers that learn from data."""

MODULES: dict[str, tuple[Kind, ...]] = {
    "anything": ("any",),
    "component_settings": ("any",),
    "processes": ("any",),
    "modalities": ("modality",),
    "modality_files": ("modality",),
    "tokenizers": ("tokenizer",),
    "decoding": ("tokenizer",),
    "fitted": ("fitted",),
    "features": ("encoder", "decoder"),
    "encoders": ("encoder",),
    "decoders": ("decoder",),
    "backbones": ("backbone",),
    "backbones_cache": ("backbone",),
    "backbones_numerics": ("backbone",),
    "backbones_weights": ("backbone",),
    "backbones_blocks": ("backbone",),
    "objectives": ("objective",),
    "objectives_sums": ("objective",),
    "callbacks": ("callback",),
    "evaluators": ("evaluator",),
    "sources": ("source",),
    "stores": ("source",),
}
"""Modules of this room that hold checks, and of which kinds: only those that a component needs are
imported, since some import torch."""


class CheckFailure(AssertionError):
    """A component breaks its contract; the text says with what figures."""


class NotInstalled(CheckFailure):
    """Nothing could be tried, because a package is absent: who checks may allow it by name."""


class NotApplicable(Exception):
    """The check has nothing to try here, for the reason given: reported, never silent."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a component must do.

    Attributes:
        id: "<kind>.<name>", for example "tokenizer.ids_in_range". Stable: people look it up.
        kind: what it concerns.
        sentence: what must hold.
        fix: how to mend a component that fails, in paragraphs.
        function: raises `CheckFailure` when it does not hold.
    """

    id: str
    kind: Kind
    sentence: str
    fix: str
    function: Callable[[Subject], None]


_gathered: dict[str, Check] = {}


def check(kind: Kind) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Decorator: make a function a check of this kind. Its name and docstring become the check's."""

    def gather(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        sentence, _, fix = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        name = f"{kind}.{function.__name__}"
        assert sentence, f"the check {name} must have a docstring"
        assert fix, f"the docstring of the check {name} must tell how to fix it"
        assert name not in _gathered, f"there are two checks {name}"
        _gathered[name] = Check(name, kind, " ".join(sentence.split()), fix, function)
        return function

    return gather


@cache
def checks_of_kinds(kinds: tuple[Kind, ...]) -> tuple[Check, ...]:
    """The checks of these kinds, kind by kind, in the order in which they stand."""
    modules = [module for module, held in MODULES.items() if set(held) & set(kinds)]
    found = [item for module in modules for item in _checks_in(module) if item.kind in kinds]
    return tuple(sorted(found, key=lambda item: get_args(Kind).index(item.kind)))


def all_checks() -> tuple[Check, ...]:
    """Every check there is, kind by kind, in the order in which they stand."""
    return checks_of_kinds(get_args(Kind))


def _checks_in(module: str) -> list[Check]:
    name = f"{__package__}.{module}"
    importlib.import_module(name)
    found = [item for item in _gathered.values() if item.function.__module__ == name]
    assert {item.kind for item in found} == set(MODULES[module]), f"see MODULES: {module}"
    return found


def require(condition: bool, text: str) -> None:
    """Raise `CheckFailure` with this text unless the condition holds."""
    if not condition:
        raise CheckFailure(text)
