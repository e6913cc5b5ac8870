"""Modalities as nodes, declared pairs as edges: what can be learned, and over which bridges.

Pure Python. An observed edge joins two modalities that occur in one sample of some data set. A
missing pair is two modalities of one component that never do; a bridge is a shortest path between
them over observed edges. An input, a modality that cannot be generated, is at no end of a bridge, and
inside of one it can only be where generation starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations

from loretta_framework.api.errors import GraphError

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed edge: a set of source modalities -> one target. No sources: the target alone."""

    sources: frozenset[str]
    target: str

    def __str__(self) -> str:
        return f"{'+'.join(sorted(self.sources))}->{self.target}"

    @classmethod
    def parse(cls, text: str) -> Edge:
        """Read "image+text->speech" or "->image".

        Raises:
            ValueError: there is no arrow or no target.
        """
        left, arrow, target = text.partition("->")
        if not arrow or not target:
            raise ValueError(f"an edge must be 'a+b->c', but is {text!r}")
        return cls(frozenset(filter(None, left.split("+"))), target)


@dataclass(frozen=True, slots=True)
class Bridge:
    """A missing pair and every shortest path that joins it, each from `pair[0]` to `pair[1]`."""

    pair: Pair
    paths: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ModalityGraph:
    """The graph of a recipe.

    Attributes:
        nodes: modalities in declared order.
        observed: undirected pairs with the number of samples that hold both, in node order.
        inputs: nodes that are given and never generated, in node order.
    """

    nodes: tuple[str, ...]
    observed: tuple[tuple[Pair, int], ...]
    inputs: tuple[str, ...] = ()

    @classmethod
    def from_combinations(
        cls,
        nodes: Iterable[str],
        combos: Mapping[frozenset[str], int],
        inputs: AbstractSet[str] = frozenset(),
    ) -> ModalityGraph:
        """Build from sample counts per modality combination, summed over training sets.

        A combination of three modalities gives all of its three pairs; single modalities give none.
        """
        order = tuple(nodes)
        counts: dict[Pair, int] = {}
        for combo, count in combos.items():
            present = [node for node in order if node in combo]
            for pair in combinations(present, 2):
                counts[pair] = counts.get(pair, 0) + count
        pairs = sorted(counts, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
        observed = tuple((pair, counts[pair]) for pair in pairs if counts[pair] > 0)
        return cls(order, observed, tuple(node for node in order if node in inputs))

    def neighbours(self, node: str) -> tuple[str, ...]:
        """Modalities that share samples with `node`, in node order."""
        near = {b if a == node else a for (a, b), _ in self.observed if node in (a, b)}
        return tuple(other for other in self.nodes if other in near)

    def has(self, a: str, b: str) -> bool:
        """Whether a and b occur together in some sample."""
        return any({a, b} == set(pair) for pair, _ in self.observed)

    def components(self) -> tuple[tuple[str, ...], ...]:
        """Connected components, in node order."""
        seen: set[str] = set()
        found: list[tuple[str, ...]] = []
        for start in self.nodes:
            if start in seen:
                continue
            reached = set(self._distances(start))
            seen |= reached
            found.append(tuple(node for node in self.nodes if node in reached))
        return tuple(found)

    def require_connected(self) -> None:
        """Raise `GraphError` with the components named when there is more than one."""
        parts = self.components()
        if len(parts) > 1:
            named = "; ".join("{" + ", ".join(part) + "}" for part in parts)
            raise GraphError(
                f"the modality graph must be connected, but falls into {len(parts)} components: {named}",
                where="data.train",
                fix="add a data set that joins them, or set `allow_disconnected: true`",
            )

    def bridges(self) -> tuple[Bridge, ...]:
        """Every missing pair that can be bridged, with all shortest paths that can be walked."""
        bridges = (Bridge(pair, self._walkable(*pair)) for pair in self._missing())
        return tuple(bridge for bridge in bridges if bridge.paths)

    def unbridged(self) -> tuple[Pair, ...]:
        """The missing pairs of a component that no path bridges, because of inputs."""
        bridged = {bridge.pair for bridge in self.bridges()}
        return tuple(
            pair for pair in self._missing() if pair not in bridged and self.shortest_paths(*pair)
        )

    def _missing(self) -> list[Pair]:
        return [pair for pair in combinations(self.nodes, 2) if not self.has(*pair)]

    def _walkable(self, a: str, b: str) -> tuple[tuple[str, ...], ...]:
        """Shortest paths on which every modality but the real ones of some sample is generated.

        A sample holds neighbours: an end that is to be predicted and, at most, the node beside it.
        So all inner nodes but one beside an end must be generated.
        """
        if {a, b} & set(self.inputs):
            return ()
        beside = {*self.neighbours(a), *self.neighbours(b)}
        given = [None, *(node for node in self.inputs if node in beside)]
        paths = [path for node in given for path in self._without_inputs(node).shortest_paths(a, b)]
        least = min(map(len, paths), default=0)
        return tuple(dict.fromkeys(path for path in paths if len(path) == least))

    def _without_inputs(self, kept: str | None) -> ModalityGraph:
        """The graph without its inputs, but for one."""
        left = {node for node in self.inputs if node != kept}
        pairs = tuple(item for item in self.observed if not left & set(item[0]))
        return ModalityGraph(tuple(node for node in self.nodes if node not in left), pairs)

    def shortest_paths(self, start: str, goal: str) -> tuple[tuple[str, ...], ...]:
        """All shortest paths from start to goal, both ends included; () when there is none."""
        distances = self._distances(start)
        if goal not in distances:
            return ()
        paths: list[tuple[str, ...]] = [(goal,)]
        for steps in range(distances[goal] - 1, -1, -1):
            paths = [
                (node, *path)
                for path in paths
                for node in self.neighbours(path[0])
                if distances.get(node) == steps
            ]
        return tuple(paths)

    def _distances(self, start: str) -> dict[str, int]:
        distances, queue = {start: 0}, deque([start])
        while queue:
            node = queue.popleft()
            for other in self.neighbours(node):
                if other not in distances:
                    distances[other] = distances[node] + 1
                    queue.append(other)
        return distances
