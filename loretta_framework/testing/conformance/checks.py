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
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from loretta_framework.testing.conformance.subject import Subject

Kind: TypeAlias = Literal[
    "any",
    "tokenizer",
    "encoder",
    "decoder",
    "backbone",
    "objective",
    "callback",
    "evaluator",
    "source",
]
"""What a check concerns; "any" concerns every component."""

MODULES: tuple[str, ...] = (
    "anything",
    "tokenizers",
    "encoders",
    "decoders",
    "backbones",
    "objectives",
    "evaluators",
    "sources",
)
"""Modules of this room that hold checks."""


class CheckFailure(AssertionError):
    """A component breaks its contract; the text says with what figures."""


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
def all_checks() -> tuple[Check, ...]:
    """Every check there is, by kind, in the order in which they stand."""
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")
    return tuple(_gathered.values())


def require(condition: bool, text: str) -> None:
    """Raise `CheckFailure` with this text unless the condition holds."""
    if not condition:
        raise CheckFailure(text)
