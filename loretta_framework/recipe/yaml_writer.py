"""Plain data as YAML for people to read, which `yaml_reader` reads back to equal data."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from loretta_framework.recipe.yaml_reader import KeyPath, plain_scalar

WIDTH = 96
"""Columns after which comments break and short collections are written over several lines."""

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

Comments = Callable[[KeyPath], str]
"""From the path of a value to what is written above it, "" for nothing."""


def write_yaml(data: Any, comments: Comments = lambda path: "") -> str:
    """YAML text of plain data with text keys; top-level sections with comments stand apart."""
    return "\n".join(_block(data, (), "", comments)) + "\n"


def scalar(value: Any) -> str:
    """One value without line breaks: text is quoted where it would read as something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return ".nan"
        return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _BARE.fullmatch(text) and isinstance(plain_scalar(text), str):
        return text
    return '"' + "".join(map(_letter, text)) + '"'


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    code = ord(letter)
    # What YAML counts as a line break or as not printable would be changed or refused on reading.
    odd = code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
    return f"\\u{code:04x}" if odd else letter


def _block(data: Any, path: KeyPath, indent: str, comments: Comments) -> Iterator[str]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            below = (*path, key)
            if not path and comments(below) and key != next(iter(data)):
                yield ""
            yield from _comment(comments(below), indent)
            yield from _entry(f"{indent}{scalar(key)}:", value, below, indent, comments)
    elif isinstance(data, list) and data:
        for index, item in enumerate(data):
            yield from _item(item, (*path, index), indent, comments)
    else:
        yield f"{indent}{_inline(data)}"


def _entry(start: str, value: Any, path: KeyPath, indent: str, comments: Comments) -> Iterator[str]:
    line = f"{start} {_inline(value)}" if _is_short(value) else ""
    if line and (len(line) <= WIDTH or not isinstance(value, list)):
        yield line
        return
    yield start
    yield from _block(value, path, indent + "  ", comments)


def _item(item: Any, path: KeyPath, indent: str, comments: Comments) -> Iterator[str]:
    """A list item; the comment of its first key stands above the dash."""
    if _is_short(item):
        yield f"{indent}- {_inline(item)}"
        return
    first = True
    inner = indent + "  "
    lines = list(_block(item, path, inner, comments))
    for line in lines:
        if first and not line.lstrip().startswith("#"):
            yield f"{indent}- {line[len(inner) :]}"
            first = False
        else:
            yield line[2:] if first else line


def _comment(text: str, indent: str) -> Iterator[str]:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    for line in textwrap.wrap(plain, WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def _is_short(value: Any) -> bool:
    """Whether a value is written on one line: scalars, empty collections, lists of scalars."""
    if isinstance(value, list):
        return all(not isinstance(item, dict | list) for item in value)
    return not isinstance(value, dict) or not value


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    return "{}" if isinstance(value, dict) else scalar(value)
