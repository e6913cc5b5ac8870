"""Continuous modalities of a recipe: inputs alone. What they need, and what must be beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.api.protocols import Encoder
from loretta_framework.graph import ModalityGraph, Pair
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Components
from loretta_framework.recipe.plan import Reason, SetPlan
from loretta_framework.registry import Builder, Registry
from loretta_framework.sequence.vocabulary import Vocabulary

INPUT_ONLY = "input only"
"""What lists and drawings say of a continuous modality."""

_MEMBERS = ("read", "write", "show", "parse", "preprocess", "network")


def require_encoders(
    loaded: LoadedRecipe, components: Components, vocabulary: Vocabulary, registry: Registry
) -> None:
    """Refuse continuous modalities that a model cannot be given.

    Raises:
        RecipeError: one is no `Encoder`.
        PluginError: one cannot be built.
    """
    problems = []
    for name in loaded.recipe.modalities:
        if name not in vocabulary.inputs:
            continue
        node = components["modalities", name].node
        built = Builder(registry).build_spec("modality", node.kind, node.settings)
        if not isinstance(built, Encoder):
            lacking = ", ".join(f"`{m}`" for m in _MEMBERS if not hasattr(built, m))
            what = f"'{name}' is continuous, so '{node.kind}' must be an `Encoder`, but has no "
            fix = "use a modality that has both protocols, or one that gives tokens"
            problems.append(Problem(what + lacking, loaded.where(node.kind_path), fix))
    if problems:
        raise RecipeError(problems)


def require_targets(
    loaded: LoadedRecipe, sets: Sequence[SetPlan], vocabulary: Vocabulary
) -> list[Reason]:
    """Refuse training sets that have nothing to predict; tell of samples that have nothing.

    Raises:
        RecipeError: all samples of a set hold continuous modalities alone.
    """
    problems, reasons = [], []
    for number, item in enumerate(sets):
        idle = sum(count for combo, count in item.combinations if vocabulary.inputs >= set(combo))
        names = ", ".join(name for name in item.modalities if name in vocabulary.inputs)
        if idle == item.samples:
            what = f"the samples of '{item.name}' hold nothing to predict: {names} is {INPUT_ONLY}"
            fix = "pair them with a modality of tokens, or leave the set out"
            problems.append(Problem(what, loaded.where(("data", "train", number)), fix))
        elif idle:
            why = f"they hold {names} alone, which is {INPUT_ONLY}"
            choice = f"{idle} of {item.samples} samples have no loss"
            reasons.append(Reason(f"data.train.{item.name}", choice, why))
    if problems:
        raise RecipeError(problems)
    return reasons


def input_reasons(graph: ModalityGraph) -> Iterator[Reason]:
    """Why edges to continuous modalities, and some bridges, are not there."""
    for name in graph.inputs:
        why = "it is continuous: edges lead from it and never to it"
        yield Reason(f"modalities.{name}", INPUT_ONLY, why)
    for pair in graph.unbridged():
        yield Reason("graph", f"{pair[0]} - {pair[1]} is not bridged", why_unbridged(graph, pair))


def why_unbridged(graph: ModalityGraph, pair: Pair) -> str:
    """Why a missing pair has no bridge."""
    ends = [name for name in pair if name in graph.inputs]
    if ends:
        return f"{' and '.join(ends)} {'is' if len(ends) == 1 else 'are'} {INPUT_ONLY}"
    return f"every path between them would have to generate what is {INPUT_ONLY}"


def arrow(graph: ModalityGraph, pair: Pair) -> str:
    """How an observed pair is learned: "--" both ways, "->" or "<-" one way, "" not at all."""
    given = [name in graph.inputs for name in pair]
    return {(False, False): "--", (True, False): "->", (False, True): "<-", (True, True): ""}[
        given[0], given[1]
    ]
