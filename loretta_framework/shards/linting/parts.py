"""The parts of a sample as its members' names and its `sequence.json` give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from loretta_framework.shards.members import META, SEQUENCE, MemberNameError, parse_local

_Part = tuple[str, int]
_MAX_DIGITS = 9


def clashing(members: Iterable[str]) -> tuple[str, str, _Part] | None:
    """The first two members that are the same modality and number, and that part; None if none."""
    found: dict[_Part, str] = {}
    for member in members:
        if member in (META, SEQUENCE):
            continue
        part = _part(member)
        first = found.setdefault(part, member)
        if first != member:
            return first, member, part
    return None


def sequence_fault(names: Any, members: Iterable[str]) -> str | None:
    """What is wrong with the content of a `sequence.json` beside these members, None if nothing.

    Parts whose member is not there are told from those that stand there twice.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return 'it must be a list of names such as ["text.0", "image.0", "text.1"]'
    parts = {_part(member) for member in members if member != SEQUENCE}
    wanted = [_named(name) for name in names]
    counts = Counter(wanted)
    for name, part in zip(names, wanted, strict=True):
        if part not in parts:
            return f"it names '{name[:200]}', but the sample has no such member"
        if counts[part] > 1:
            return f"it names '{name}' twice"
    return None


def left_out(names: Iterable[str], members: Collection[str]) -> list[str]:
    """Parts that a `sequence.json` does not name. Members of JSON may be facts: they need not be."""
    named = {_named(name) for name in names}
    parts = dict.fromkeys(_part(member) for member in members if parse_local(member)[2] != "json")
    return [f"{modality}.{number}" for modality, number in parts if (modality, number) not in named]


def _part(member: str) -> _Part:
    try:
        return parse_local(member)[:2]
    except MemberNameError:
        return member, 0


def _named(name: str) -> _Part:
    modality, _, number = name.partition(".")
    if not (number.isascii() and number.isdigit()):
        return modality, 0
    # Python refuses to read numbers of thousands of digits, and no member has one.
    return modality, int(number) if len(number) <= _MAX_DIGITS else -1
