"""Options of a preparation: `key=value` texts checked against the preparer's `Options`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from loretta_framework.api.errors import InputError, nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

    from loretta_framework.api.settings import Settings

    Kind = TypeVar("Kind", bound=Settings)


@dataclass(frozen=True, slots=True)
class OptionHelp:
    """One option for people: its name, default ("" when it must be given) and meaning."""

    name: str
    default: str
    meaning: str


def parse_options(kind: type[Kind], texts: Sequence[str]) -> Kind:
    """The options that the texts `key=value` give, everything else at its default.

    Lists are written with commas; `null` stands for none.

    Raises:
        InputError: a text has not that form, a key is unknown or given twice, a value does not fit,
            or an option without default is missing.
    """
    from pydantic import ValidationError

    given: dict[str, Any] = {}
    for text in texts:
        key, raw = _parted(kind, text)
        if key in given:
            raise InputError(
                f"'{key}' is given twice", where=f"--set {text}", fix="keep one of the two"
            )
        given[key] = _read(kind, key, raw)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _refused(kind, "", error) from error


def _parted(kind: type[Settings], text: str) -> tuple[str, str]:
    key, equals, raw = text.partition("=")
    key, where = key.strip(), f"--set {text}"
    if not equals or not key:
        raise InputError("an option must be 'key=value'", where=where, fix=_known(kind))
    if key not in kind.model_fields:
        near = nearest(key, list(kind.model_fields))
        raise InputError(f"there is no option '{key}'{near}", where=where, fix=_known(kind))
    return key, raw.strip()


def _read(kind: type[Settings], key: str, text: str) -> Any:
    """The text as the type of the field; what the field demands of the value comes later."""
    from pydantic import TypeAdapter, ValidationError

    annotation: Any = kind.model_fields[key].annotation
    kinds = (annotation, *get_args(annotation))
    if text == "null" and type(None) in kinds:
        return None
    items = next((get_args(each)[0] for each in kinds if get_origin(each) in (list, tuple)), None)
    try:
        if items is None:
            return TypeAdapter(annotation).validate_strings(text)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return tuple(TypeAdapter(items).validate_strings(part) for part in parts)
    except ValidationError as error:
        raise _refused(kind, key, error) from error


def _refused(kind: type[Settings], key: str, error: ValidationError) -> InputError:
    fault = error.errors()[0]
    key = key or (str(fault["loc"][0]) if fault["loc"] else "")
    if fault["type"] == "missing":
        return InputError(f"the option '{key}' must be given", fix=f"add --set {key}=...")
    own = fault.get("ctx", {}).get("error")
    value = f" (it is '{written(fault['input'])}')" if key else ""
    return InputError(
        str(own) if own is not None else f"{fault['msg']}{value}",
        where=f"--set {key}=..." if key else "the options together",
        fix=f"{key}: {_meaning(kind, key)}" if key in kind.model_fields else _known(kind),
    )


def option_help(kind: type[Settings]) -> list[OptionHelp]:
    """Every option in the order of the class."""
    found = []
    for name, field in kind.model_fields.items():
        default = "" if field.is_required() else written(field.get_default())
        found.append(OptionHelp(name, default, _meaning(kind, name)))
    return found


def _meaning(kind: type[Settings], name: str) -> str:
    field = kind.model_fields[name]
    choices = [str(value) for value in _choices(field.annotation)]
    text = (field.description or "").rstrip(".")
    return f"{text}; one of: {', '.join(choices)}" if choices else text


def _choices(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


def _known(kind: type[Settings]) -> str:
    names = ", ".join(kind.model_fields)
    return f"its options: {names}" if names else "it has no options"


def written(value: Any) -> str:
    """A value as it is written after `key=`."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
