"""Recipe + shard index -> Plan. Everything is decided here, before torch is imported."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from loretta_framework.api.errors import GraphError, Problem, RecipeError
from loretta_framework.api.specs import BackboneSpec, ModalitySpec
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.hashes import completed, data_hash, recipe_hash
from loretta_framework.recipe.inputs import input_reasons, require_encoders, require_targets
from loretta_framework.recipe.limits import require_enough
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Component, Components, check_nodes, needed_plugins
from loretta_framework.recipe.plan import ModalityPlan, Plan, Reason
from loretta_framework.recipe.providers import provided
from loretta_framework.recipe.requirements import requirement_problems
from loretta_framework.recipe.sets import DataPlan, plan_sets
from loretta_framework.recipe.tasks import Lengths, plan_tasks
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Registry
from loretta_framework.sequence.vocabulary import Vocabulary

PACKAGES = ("loretta-framework", "numpy", "torch")
"""Distributions whose versions every plan records."""


def check_components(
    loaded: LoadedRecipe, registry: Registry | None = None
) -> tuple[dict[KeyPath, Component], Registry]:
    """Look up every component of a recipe, validate its settings, and check `requires`.

    Args:
        loaded: the recipe.
        registry: where components come from; None discovers what the recipe names.

    Raises:
        RecipeError: holds every fault.
    """
    registry = registry or Registry.discover(needed_plugins(loaded.resolved))
    components, problems = check_nodes(loaded.resolved, registry, loaded.where)
    problems = requirement_problems(loaded.recipe.requires, loaded.where) + problems
    if problems:
        raise RecipeError(problems)
    return components, registry


def make_plan(
    loaded: LoadedRecipe,
    registry: Registry | None = None,
    previous_vocabulary: Vocabulary | None = None,
) -> Plan:
    """Derive the Plan.

    Args:
        loaded: the recipe.
        registry: where components come from; None discovers what the recipe names.
        previous_vocabulary: id blocks of an earlier run, to be kept where they are.

    Raises:
        RecipeError: components, objectives, token budget or modalities do not fit.
        ShardError: shards are missing, damaged, or lack what the recipe requires of them.
        GraphError: the modalities fall apart and `allow_disconnected` is not set.
    """
    recipe = loaded.recipe
    components, registry = check_components(loaded, registry)
    bounds = {name: components["modalities", name].settings.bounds() for name in recipe.modalities}
    vocabulary = Vocabulary.build(bounds, previous_vocabulary)
    require_encoders(loaded, components, vocabulary, registry)
    data = plan_sets(loaded, components, registry)
    graph = _graph(loaded, data, vocabulary)
    data.reasons += require_targets(loaded, data.training, vocabulary)
    lengths = Lengths.of(vocabulary, data.training, graph.bridges())
    tasks, reasons = plan_tasks(loaded, components, lengths, bool(graph.bridges()))
    _require_room(loaded, components, lengths)
    require_enough(loaded, tasks, data.training)
    return Plan(
        name=recipe.name,
        seed=recipe.train.seed,
        steps=recipe.train.steps,
        batch_tokens=recipe.train.batch_tokens,
        shuffle_rows=recipe.data.shuffle_rows,
        modalities=tuple(_modality(name, components) for name in recipe.modalities),
        vocabulary=vocabulary,
        graph=graph,
        components=graph.components(),
        bridges=graph.bridges(),
        sets=tuple(data.sets),
        tasks=tasks,
        backbone=components["backbone",].plan,
        recipe_hash=recipe_hash(completed(loaded.resolved, components)),
        data_hash=data_hash(data.digests),
        reasons=(*_own_reasons(graph, vocabulary, previous_vocabulary), *data.reasons, *reasons),
        versions=_versions(components),
        plugins=provided(components, registry),
    )


def _modality(name: str, components: Components) -> ModalityPlan:
    component = components["modalities", name]
    spec = component.spec
    fitted = isinstance(spec, ModalitySpec) and spec.capabilities.fitted
    return ModalityPlan(name, component.plan, fitted)


def _require_present(loaded: LoadedRecipe, data: DataPlan) -> None:
    """Every declared modality occurs in some training sample; else nothing could learn it."""
    present = frozenset().union(*data.counts())
    problems = []
    for name in loaded.recipe.modalities:
        if name in present:
            continue
        sets = [item for item in data.training if name in item.modalities]
        named = ", ".join(f"'{item.name}'" for item in sets)
        seen = dict.fromkeys(member for item in sets for member in data.seen[item.name])
        shown = ", ".join(list(seen)[:12])
        what = f"the modality '{name}' never occurs in a training sample; "
        what += f"{named} hold: {shown}" if sets else "no training set declares it"
        fix = f"name its members <key>.{name}.<extension>, map them with a `source`, or remove it"
        problems.append(Problem(what, loaded.where(("modalities", name)), fix))
    if problems:
        raise RecipeError(problems)


def _graph(loaded: LoadedRecipe, data: DataPlan, vocabulary: Vocabulary) -> ModalityGraph:
    _require_present(loaded, data)
    names, inputs = loaded.recipe.modalities, vocabulary.inputs
    graph = ModalityGraph.from_combinations(names, data.counts(), inputs)
    if not loaded.recipe.allow_disconnected:
        try:
            graph.require_connected()
        except GraphError as error:
            where = loaded.where(("data", "train"))
            raise GraphError(error.what, where=where, fix=error.fix) from error
    return graph


def _require_room(loaded: LoadedRecipe, components: Components, lengths: Lengths) -> None:
    problems = []
    budget = loaded.recipe.train.batch_tokens
    longest = f"the longest expected sequence ({lengths.what}) has {lengths.longest} tokens"
    if budget < lengths.longest:
        where = loaded.where(("train", "batch_tokens"))
        what = f"must be at least {lengths.longest}, but is {budget}: {longest}"
        problems.append(Problem(what, where, "raise batch_tokens, or use shorter segments"))
    spec = components["backbone",].spec
    limit = spec.capabilities.max_length if isinstance(spec, BackboneSpec) else None
    if limit is not None and limit < lengths.longest:
        what = f"takes sequences of at most {limit} tokens, but {longest}"
        fix = "use another backbone, or shorter segments"
        problems.append(Problem(what, loaded.where(("backbone",)), fix))
    if problems:
        raise RecipeError(problems)


def _own_reasons(
    graph: ModalityGraph, vocabulary: Vocabulary, previous: Vocabulary | None
) -> list[Reason]:
    why = "ids are given in the order of `modalities`; blocks never move"
    if previous is not None:
        why = "ids of the earlier run are kept; new modalities follow behind them"
    order = Reason("modalities", " < ".join(vocabulary.modalities), why)
    return [*_graph_reasons(graph), order]


def _graph_reasons(graph: ModalityGraph) -> list[Reason]:
    reasons = [
        Reason("graph", f"{a} - {b} is observed", f"{count} training samples hold both")
        for (a, b), count in graph.observed
    ]
    for bridge in graph.bridges():
        paths = "; ".join(" - ".join(path) for path in bridge.paths)
        choice = f"{bridge.pair[0]} - {bridge.pair[1]} is bridged"
        reasons.append(Reason("graph", choice, f"no training sample holds both; paths: {paths}"))
    reasons += input_reasons(graph)
    parts = graph.components()
    if len(parts) > 1:
        choice = f"{len(parts)} components are trained side by side"
        reasons.append(Reason("allow_disconnected", choice, "the recipe allows it"))
    return reasons


def _versions(components: Components) -> dict[str, str]:
    versions: dict[str, Any] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    for component in components.values():
        name, _, version = component.plan.distribution.partition(" ")
        versions[name] = version
    return versions
