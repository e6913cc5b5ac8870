"""YAML as recipes use it: the 1.2 core scalars, no tags, no key twice, bounded in every direction.

PyYAML parses, but its own resolver follows YAML 1.1 (`NO` is false, `1e-4` is text, `010` is 8) and
its constructor lets the last of two equal keys win. So its events are composed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml

from loretta_framework.api.errors import Problem, RecipeError, nearest

MAX_BYTES = 1 << 20
"""Largest file that is read."""

MAX_DEPTH = 64
"""Deepest nesting of lists and mappings."""

MAX_ALIASED = 100_000
"""Most values that aliases may stand for, all together."""

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the top to a value."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True} | {
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_BASES = {"0o": 8, "0x": 16}
_MAX_DIGITS = 400


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds.

    Attributes:
        name: the file, as messages name it.
        data: plain data: dicts with text keys, lists, str, int, float, bool, None.
        lines: line of each value (of its key, in a mapping), from 1.
    """

    name: str
    data: Any
    lines: dict[KeyPath, int]


def read_yaml(path: Path) -> Document:
    """Read a file.

    Raises:
        RecipeError: there is no such file, it cannot be read, or see `parse_yaml`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = nearest(path.name, _neighbours(path))
        raise _refused(f"there is no such file{near}", str(path), "check the path") from None
    except OSError as error:
        what = f"the file cannot be read: {error.strerror or error}"
        raise _refused(what, str(path), "name a YAML file that may be read") from None
    if len(data) > MAX_BYTES:
        what = f"a recipe must have at most {MAX_BYTES} bytes, but this file has more"
        raise _refused(what, str(path), "keep data out of the recipe")
    try:
        return parse_yaml(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = f"the file must be UTF-8, but byte {error.start} is not"
        raise _refused(what, f"{path}:{line}", "save it as UTF-8") from None


def parse_yaml(text: str, name: str) -> Document:
    """Read one document of text; `name` stands for the file in messages.

    Raises:
        RecipeError: it is not YAML, uses a tag, gives a key twice (both lines are named), is too
            deep, or its aliases stand for too much.
    """
    composer = _Composer(name)
    try:
        composer.run(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        what = " ".join(filter(None, [error.context, error.problem]))
        raise _refused(f"not valid YAML: {what}", where, "mend the syntax") from None
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise _refused(f"not valid YAML: {what}", name, "mend the syntax") from None
    if composer.problems:
        raise RecipeError(composer.problems)
    return Document(name, composer.data, composer.lines)


def walk(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """The value and everything inside it, with paths, from the outside in."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, (*path, index))


def copied(value: Any) -> Any:
    """A copy that shares no list or mapping with the value."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar by the 1.2 core schema.

    Raises:
        ValueError: a number that is too large for a float or for 64 bits.
    """
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        number = int(text, _BASES.get(text[:2], 10)) if len(text) <= _MAX_DIGITS else 2**64
        if abs(number) >= 2**64:
            raise ValueError("an integer must fit into 64 bits; put text into quotes")
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("a number must fit into 64 bits; put text into quotes")
        return value
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A value that aliases may repeat: where it stands, how many values it holds, how deep it is."""

    path: KeyPath
    value: Any
    size: int
    height: int


class _Composer:
    """Events to plain data, by recursion that `MAX_DEPTH` bounds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data: Any = None
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._aliased = 0
        self._events: Iterator[Any] = iter(())

    def run(self, text: str) -> None:
        self._events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._next()  # start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return
        self.data = self._value(self._next(), ())
        self._next()  # end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(event, (), "a file must hold one document, but a second begins here")

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, path: KeyPath) -> Any:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            self._stop(event, path, f"tags are refused, but the value has the tag '{event.tag}'")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        value = self._content(event, path)
        if event.anchor is not None:
            inside = [len(below) for below, _ in walk(value)]
            self._anchors[event.anchor] = _Anchored(path, value, len(inside), max(inside))
        return value

    def _content(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._stop(event, path, f"nesting must be at most {MAX_DEPTH} deep, but is deeper")
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._map(path)

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        if not event.value.isascii() and _SURROGATE.search(event.value):
            self._stop(event, path, "text must not hold half a character (a lone surrogate)")
        if not event.implicit[0]:
            return event.value
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self._stop(event, path, str(error))

    def _list(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _map(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, line = self._key(event, path), event.start_mark.line + 1
            place = (*path, key)
            if key in items:
                both = f"the key '{key}' is given twice, on lines {self.lines[place]} and {line}"
                self._fault(line, place, both, "keep one of the two")
                self._value(self._next(), (*path, key, "(second)"))
                continue
            self.lines[place] = line
            items[key] = self._value(self._next(), place)
        return items

    def _key(self, event: Any, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            self._stop(event, path, "a key must be plain text, but is an alias, tag or collection")
        key = self._scalar(event, path)
        if not isinstance(key, str):
            self._stop(event, path, f"a key must be text, but {event.value!r} is not; quote it")
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(path, key, 1, 0)
        return str(key)

    def _alias(self, event: Any, path: KeyPath) -> Any:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            unknown = event.anchor not in self._anchors
            why = "has no anchor before it" if unknown else "stands inside its own anchor"
            self._stop(event, path, f"the alias '*{event.anchor}' {why}")
        self._aliased += anchored.size
        if self._aliased > MAX_ALIASED:
            self._stop(event, path, f"aliases must stand for at most {MAX_ALIASED} values")
        if len(path) + anchored.height > MAX_DEPTH:
            self._stop(event, path, f"nesting must be at most {MAX_DEPTH} deep, but is deeper")
        for below, _ in walk(anchored.value):
            self.lines.setdefault(path + below, self.lines.get(anchored.path + below, 0))
        return copied(anchored.value)

    def _stop(self, event: Any, path: KeyPath, what: str) -> NoReturn:
        line = event.start_mark.line + 1
        self._fault(line, path, what, "write plain YAML 1.2")
        raise RecipeError(self.problems)

    def _fault(self, line: int, path: KeyPath, what: str, fix: str) -> None:
        dotted = ".".join(map(str, path))
        where = f"{self.name}:{line}: {dotted}" if dotted else f"{self.name}:{line}"
        self.problems.append(Problem(what, where, fix))


def _refused(what: str, where: str, fix: str) -> RecipeError:
    return RecipeError([Problem(what, where, fix)])


def _neighbours(path: Path) -> list[str]:
    try:
        return [item.name for item in path.parent.iterdir()]
    except OSError:
        return []
