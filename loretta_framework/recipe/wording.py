"""What validation found, in words for people: what a value must be, and what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loretta_framework.api.errors import nearest

_WANTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
}
_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"


def described(value: Any) -> str:
    """A value as a message shows it: text in quotes, collections by size."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value}"


def is_mismatch(fault: Mapping[str, Any]) -> bool:
    """Whether the value has the wrong type altogether."""
    return str(fault["type"]).endswith("_type") or fault["type"] == "none_required"


def demand(fault: Mapping[str, Any]) -> str:
    """What a value must do or be, to follow "must": "be an integer", "have at least 1 item"."""
    kind, context = str(fault["type"]), fault.get("ctx", {})
    if kind in _WANTED:
        numbers = {key: _number(value) for key, value in context.items()}
        return "be " + _WANTED[kind].format(**numbers)
    if kind in ("literal_error", "enum"):
        expected = context["expected"]
        one_of = "one of " if "," in expected or " or " in expected else ""
        return f"be {one_of}{expected}"
    if kind == "string_pattern_mismatch":
        if context["pattern"] == _NAME_PATTERN:
            return "start with a letter and go on with letters, digits, '_' and '-'"
        return f"match the pattern {context['pattern']}"
    counted = {"too_short": "at least {min_length} item", "too_long": "at most {max_length} item"}
    if kind in counted:
        text = counted[kind].format(**context)
        return f"have {text}{'' if ' 1 ' in f' {text} ' else 's'}"
    letters = {
        "string_too_short": "at least {min_length}",
        "string_too_long": "at most {max_length}",
    }
    return f"have {letters[kind].format(**context)} letters" if kind in letters else ""


def sentence(faults: list[Mapping[str, Any]]) -> str:
    """One sentence for the faults of one value; several faults are alternatives of a union."""
    first = faults[0]
    if first["type"] == "missing":
        return "must be given, but is missing"
    demands = list(dict.fromkeys(filter(None, map(demand, faults))))
    if not demands:
        return _own_words(first)
    if all(text.startswith("be ") for text in demands):
        demands = ["be " + " or ".join(text.removeprefix("be ") for text in demands)]
    must = f"must {' or '.join(demands)}, but {_is(first)}"
    expected = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
    value = first["input"]
    return must + (nearest(value, expected) if isinstance(value, str) else "")


def _is(fault: Mapping[str, Any]) -> str:
    context = fault.get("ctx", {})
    if "actual_length" in context:
        return f"has {context['actual_length']}"
    return f"is {described(fault['input'])}"


def _own_words(fault: Mapping[str, Any]) -> str:
    """What a validator of a component's author says, without pydantic's prefix."""
    error = fault.get("ctx", {}).get("error")
    return (
        str(error) if error is not None else f"{fault['msg']}, but is {described(fault['input'])}"
    )


def _number(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value
