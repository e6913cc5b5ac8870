"""Which bridge a sample can walk: the rule behind the transitive step. Pure Python.

Let (a, c) be a missing pair, a present in the sample and c absent. Along a shortest path from a to
c, the present modality nearest to c is where generation starts; every modality after it is
generated hop by hop, each from the one before it alone. For a sample (a, b) with the path a-b-c
that is b -> c; for a sample of a alone it is a -> b -> c. Both return to the real a as target
(LoReTTa's cases 1, 2, 3 and 5, for any number of hops).
"""

from __future__ import annotations

from collections.abc import Sequence, Set as AbstractSet
from dataclasses import dataclass

from loretta_framework.graph import Bridge


@dataclass(frozen=True, slots=True)
class Walk:
    """A way to make a missing modality from a sample.

    Attributes:
        target: the real modality to reconstruct, None when the sample has only links.
        path: from the present modality where generation starts to the missing one.
    """

    target: str | None
    path: tuple[str, ...]

    @property
    def pseudo(self) -> str:
        """The modality that is generated last, and conditions the target."""
        return self.path[-1]

    @property
    def links(self) -> tuple[str, ...]:
        """The directed edges that are generated, "text->speech" and so on."""
        return tuple(f"{a}->{b}" for a, b in zip(self.path, self.path[1:], strict=False))

    def possible(self, inputs: AbstractSet[str]) -> bool:
        """Whether it generates none of the modalities that cannot be."""
        return inputs.isdisjoint(self.path[1:])


def walks(
    present: AbstractSet[str],
    bridges: Sequence[Bridge],
    *,
    single_modality: bool = True,
    max_hops: int | None = None,
    inputs: AbstractSet[str] = frozenset(),
) -> list[Walk]:
    """Every walk a sample allows, in the order of the bridges; [] when there is none.

    Args:
        present: modalities of the sample.
        bridges: missing pairs with their paths.
        single_modality: whether a walk may start at its own target.
        max_hops: longest walk in generations.
        inputs: modalities that cannot be generated; a walk may start at one.
    """
    found = []
    for bridge in bridges:
        for path in bridge.paths:
            for way in (path, path[::-1]):
                walk = _walk(way, present)
                if walk is None or not walk.possible(inputs):
                    continue
                if max_hops is not None and len(walk.path) - 1 > max_hops:
                    continue
                if single_modality or walk.path[0] != walk.target:
                    found.append(walk)
    return found


def _walk(way: tuple[str, ...], present: AbstractSet[str]) -> Walk | None:
    if way[0] not in present or way[-1] in present:
        return None
    start = max(i for i, modality in enumerate(way) if modality in present)
    return Walk(way[0], way[start:])


def link_walks(
    present: AbstractSet[str],
    bridges: Sequence[Bridge],
    inputs: AbstractSet[str] = frozenset(),
) -> list[tuple[Walk, Walk]]:
    """Pairs of walks that leave a lone link towards both ends of a bridge (LoReTTa's case 4)."""
    if len(present) != 1:
        return []
    (link,) = present
    pairs = [
        (Walk(None, path[: i + 1][::-1]), Walk(None, path[i:]))
        for bridge in bridges
        for path in bridge.paths
        for i, modality in enumerate(path[1:-1], start=1)
        if modality == link
    ]
    return [pair for pair in pairs if all(walk.possible(inputs) for walk in pair)]
