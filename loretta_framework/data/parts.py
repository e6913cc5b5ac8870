"""Which members of a sample are the recipe's parts: decided once for each shape, not per sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loretta_framework.shards.members import META, SEQUENCE, parse_local

Mapper = Callable[[str], "str | None"]
"""Local member name -> the recipe's modality, None to leave the member out."""

Part = tuple[str, int]
"""(modality, instance)."""


@dataclass(frozen=True, slots=True)
class ShapeParts:
    """The parts of all samples of one shape. Members are counted within the shape.

    Attributes:
        names: the shape: local member names.
        members: part -> its member, modalities as declared, instances in numeric order.
        present: the declared modalities that it has.
        clash: two members that are the same part, or None.
    """

    names: tuple[str, ...]
    members: dict[Part, int]
    present: frozenset[str]
    clash: tuple[int, int] | None

    def member(self, name: str) -> int | None:
        """The member of that local name, None when the shape has none."""
        return self.names.index(name) if name in self.names else None

    def extension(self, member: int) -> str:
        """Lower case, no dot."""
        return parse_local(self.names[member])[2]


def shape_parts(names: Sequence[str], modalities: Sequence[str], mapping: Mapper) -> ShapeParts:
    """Sort the members of a shape into parts.

    Args:
        names: local member names.
        modalities: declared, in declared order.
        mapping: local name -> modality.
    """
    found: dict[Part, int] = {}
    clash = None
    for number, name in enumerate(names):
        modality = None if name in (META, SEQUENCE) else mapping(name)
        if modality is None or modality not in modalities:
            continue
        part = (modality, parse_local(name)[1])
        if part in found:
            clash = clash or (found[part], number)
        else:
            found[part] = number
    order = {name: place for place, name in enumerate(modalities)}
    members = {part: found[part] for part in sorted(found, key=lambda p: (order[p[0]], p[1]))}
    return ShapeParts(tuple(names), members, frozenset(name for name, _ in found), clash)
