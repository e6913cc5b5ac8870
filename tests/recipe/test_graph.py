"""The modality graph against a slow reference that enumerates every simple path."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import GraphError
from loretta_framework.graph import Bridge, Edge, ModalityGraph

NODES = ("a", "b", "c", "d", "e")


def graph_of(*edges: str, nodes: tuple[str, ...] = NODES) -> ModalityGraph:
    return ModalityGraph.from_combinations(nodes, {frozenset(edge): 1 for edge in edges})


@st.composite
def graphs(draw: st.DrawFn) -> ModalityGraph:
    count = draw(st.integers(1, 5))
    pairs = list(combinations(NODES[:count], 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return graph_of(*("".join(pair) for pair in chosen), nodes=NODES[:count])


def all_simple_paths(graph: ModalityGraph, start: str, goal: str) -> list[tuple[str, ...]]:
    others = [node for node in graph.nodes if node not in (start, goal)]
    found = []
    for length in range(len(others) + 1):
        for middle in permutations(others, length):
            path = (start, *middle, goal)
            if all(graph.has(a, b) for a, b in pairwise(path)):
                found.append(path)
    return found


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_shortest_paths_are_all_the_shortest_of_all_simple_paths(graph: ModalityGraph) -> None:
    for start, goal in permutations(graph.nodes, 2):
        every = all_simple_paths(graph, start, goal)
        shortest = [path for path in every if len(path) == min(map(len, every))]
        found = graph.shortest_paths(start, goal)
        assert sorted(found) == sorted(shortest)
        assert len(set(found)) == len(found)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_components_are_what_paths_reach(graph: ModalityGraph) -> None:
    parts = graph.components()
    assert sorted(node for part in parts for node in part) == sorted(graph.nodes)
    for a, b in combinations(graph.nodes, 2):
        together = any(a in part and b in part for part in parts)
        assert together == bool(all_simple_paths(graph, a, b))


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_bridges_are_the_missing_pairs_of_a_component(graph: ModalityGraph) -> None:
    bridged = {bridge.pair: bridge.paths for bridge in graph.bridges()}
    for pair in combinations(graph.nodes, 2):
        missing = not graph.has(*pair) and bool(all_simple_paths(graph, *pair))
        assert (pair in bridged) == missing
        if missing:
            assert bridged[pair] == graph.shortest_paths(*pair)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.randoms())
def test_the_answer_does_not_depend_on_the_order_of_combinations(
    graph: ModalityGraph, random: object
) -> None:
    combos = [(frozenset(pair), count) for pair, count in graph.observed]
    random.shuffle(combos)  # type: ignore[attr-defined]
    assert ModalityGraph.from_combinations(graph.nodes, dict(combos)) == graph


def test_a_chain_of_any_length_is_bridged_end_to_end() -> None:
    graph = graph_of("ab", "bc", "cd", "de")
    assert graph.shortest_paths("a", "e") == (("a", "b", "c", "d", "e"),)
    assert len(graph.bridges()) == 6


def test_all_of_several_shortest_paths_are_found() -> None:
    graph = graph_of("ab", "ac", "bd", "cd", nodes=("a", "b", "c", "d"))
    assert graph.bridges() == (
        Bridge(("a", "d"), (("a", "b", "d"), ("a", "c", "d"))),
        Bridge(("b", "c"), (("b", "a", "c"), ("b", "d", "c"))),
    )


def test_a_triple_gives_its_three_pairs_and_counts_add_up() -> None:
    graph = ModalityGraph.from_combinations(
        ("a", "b", "c"), {frozenset("abc"): 2, frozenset("ab"): 3, frozenset("c"): 9}
    )
    assert graph.observed == ((("a", "b"), 5), (("a", "c"), 2), (("b", "c"), 2))
    assert graph.neighbours("c") == ("a", "b")


def test_a_disconnected_graph_is_refused_with_its_components() -> None:
    graph = graph_of("ab", "cd")
    assert graph.components() == (("a", "b"), ("c", "d"), ("e",))
    with pytest.raises(GraphError, match=r"3 components: \{a, b\}; \{c, d\}; \{e\}") as caught:
        graph.require_connected()
    assert "allow_disconnected" in caught.value.fix
    graph_of("ab", "bc", "cd", "de").require_connected()


def test_edges_read_what_they_print() -> None:
    for text in ("image+text->speech", "->image", "a->b"):
        assert str(Edge.parse(text)) == text
    for wrong in ("a", "a->", ""):
        with pytest.raises(ValueError, match="must be 'a\\+b->c'"):
            Edge.parse(wrong)
