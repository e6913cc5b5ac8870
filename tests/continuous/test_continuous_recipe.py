"""What a recipe with a continuous modality says, draws and refuses."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import PluginError, RecipeError
from loretta_framework.graph import Bridge, ModalityGraph
from loretta_framework.objectives.bridging import link_walks, walks
from loretta_framework.recipe import draw
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import plan_text


def plan_of(world: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(world / "pulse.yaml", list(overrides)))


def test_the_plan_gives_it_two_ids_and_no_edge_to_it(world: Path) -> None:
    plan = plan_of(world)
    block = plan.vocabulary["x"]
    assert block.stop - block.start == 2
    assert block.segment_length == 4
    assert list(block.targets) == []
    assert plan.vocabulary.inputs == {"x"}
    assert plan.graph.inputs == ("x",)
    assert plan.bridges == (Bridge(("a", "c"), (("a", "x", "c"),)),)
    assert Plan.from_json(plan.to_json()) == plan


def test_text_and_drawings_say_that_it_is_input_only(world: Path) -> None:
    plan = plan_of(world)
    text = plan_text(plan)
    assert "3 vectors a segment, input only" in text
    assert "modalities.x: input only; it is continuous: edges lead from it and never to it" in text
    assert "data.train.xa: 40 of 400 samples have no loss; they hold x alone" in text
    assert "x  -->  a  360 samples in xa" in draw.text(plan)
    assert '>"x (input only)"]' in draw.mermaid(plan)
    assert 'm0 -->|"360"| m1' in draw.mermaid(plan)
    picture = draw.FORMATS["svg"](plan)
    assert picture.count('class="node input"') == 1
    assert "dotted frame: input only" in picture


def test_without_one_nothing_is_said_of_inputs(world: Path) -> None:
    sets = "data.train=[{name: a, shards: xa-*.tar, modalities: [a]}]"
    override = [
        "modalities={a: {kind: text_bytes, settings: {max_tokens: 4}}}",
        sets,
        "data.test=[]",
    ]
    plan = plan_of(world, *override, "objectives=[{kind: causal}]")
    everything = plan_text(plan) + "".join(form(plan) for form in draw.FORMATS.values())
    assert "input only" not in everything
    assert 'class="node input"' not in everything


def test_a_pair_that_ends_in_an_input_is_missing_and_not_bridged(world: Path) -> None:
    sets = (
        "data.train=[{name: xa, shards: xa-*.tar, modalities: [x, a]},"
        "{name: ac, shards: test-*.tar, modalities: [a, c]}]"
    )
    plan = plan_of(world, sets)
    assert plan.bridges == ()
    assert plan.graph.unbridged() == (("x", "c"),)
    assert "x - c  not bridged: x is input only" in plan_text(plan)
    assert "missing; x is input only" in draw.text(plan)
    assert '-.-|"not bridged"|' in draw.mermaid(plan)
    assert draw.FORMATS["svg"](plan).count('class="missing"') == 2  # the pair, and the legend
    assert [task.name for task in plan.tasks] == ["causal"]  # transitive has no work


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("pulse.echo", RecipeError, "'x' is continuous, so 'pulse.echo' must be an `Encoder`, but "
         "has no `network`"),
        ("pulse.loose", RecipeError, "a continuous modality must have vocab_size 0 and one number"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_to_a_model_is_refused(
    world: Path, kind: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match="x") as caught:
        plan_of(world, f"modalities.x.kind={kind}")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2  # type: ignore[attr-defined]


def test_a_set_of_inputs_alone_is_refused(world: Path) -> None:
    sets = "data.train=[{name: xa, shards: xa-*.tar, modalities: [x]},"
    sets += "{name: xc, shards: xc-*.tar, modalities: [x, c]}]"
    names = "modalities={x: {kind: pulse.beats}, c: {kind: text_bytes, settings: {max_tokens: 4}}}"
    with pytest.raises(RecipeError, match="samples of 'xa' hold nothing to predict: x is input"):
        plan_of(world, names, sets, "data.test=[]")


def test_a_network_that_breaks_its_promise_is_blamed(world: Path, run: object) -> None:
    with pytest.raises(PluginError, match=r"vectors of shape \(\d+, 3, 5\), but gives \(\d+, 3, 4"):
        run("narrow", "modalities.x.kind=pulse.narrow")  # type: ignore[operator]


@st.composite
def graphs(draw_: st.DrawFn) -> ModalityGraph:
    nodes = "abcde"[: draw_(st.integers(2, 5))]
    pairs = draw_(st.sets(st.sampled_from(list(combinations(nodes, 2)))))
    inputs = draw_(st.sets(st.sampled_from(nodes)))
    return ModalityGraph.from_combinations(nodes, {frozenset(p): 1 for p in pairs}, inputs)


def walkable(graph: ModalityGraph, path: tuple[str, ...]) -> bool:
    """Some sample of two neighbours, or of one modality, generates along it towards an end."""
    return any(
        not set(graph.inputs) & {way[0], *way[2:]} for way in (path, path[::-1])
    ) and not set(graph.inputs) & {path[0], path[-1]}  # fmt: skip


@settings(deadline=None)
@given(graphs())
def test_bridges_are_the_shortest_of_the_paths_that_can_be_walked(graph: ModalityGraph) -> None:
    bridged = {bridge.pair: set(bridge.paths) for bridge in graph.bridges()}
    for a, b in combinations(graph.nodes, 2):
        inner = [n for n in graph.nodes if n not in (a, b)]
        paths = [
            (a, *middle, b)
            for count in range(len(inner) + 1)
            for middle in permutations(inner, count)
        ]
        simple = [p for p in paths if all(graph.has(*s) for s in pairwise(p))]
        found = [p for p in simple if walkable(graph, p)] if not graph.has(a, b) else []
        least = min(map(len, found), default=0)
        assert bridged.get((a, b), set()) == {p for p in found if len(p) == least}
        missing = bool(simple) and not graph.has(a, b)
        assert ((a, b) in graph.unbridged()) == (missing and not found)


@settings(deadline=None)
@given(graphs())
def test_every_bridge_is_walked_by_some_sample_and_no_walk_generates_an_input(
    graph: ModalityGraph,
) -> None:
    inputs, bridges = frozenset(graph.inputs), graph.bridges()
    samples = [{node} for node in graph.nodes] + [set(pair) for pair, _ in graph.observed]
    reached = set()
    for present in samples:
        for walk in walks(present, bridges, inputs=inputs):
            assert walk.target not in inputs
            assert not inputs & set(walk.path[1:])
            assert walk.path[0] in present
            reached.add(frozenset({walk.target, walk.pseudo}))
        for pair in link_walks(present, bridges, inputs):
            assert not inputs & {name for walk in pair for name in walk.path[1:]}
    assert reached == {frozenset(bridge.pair) for bridge in bridges}
