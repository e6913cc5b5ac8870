"""Every setting is classed; what would change the run's meaning stops a resume."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
from pydantic import BaseModel

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.api.specs import Bounds
from loretta_framework.checkpoint.compare import compare_plans, require_resumable
from loretta_framework.checkpoint.severity import LEAVES, severity_of
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.schema import Recipe
from loretta_framework.sequence.vocabulary import Vocabulary


def models_in(annotation):
    """(model, whether it lies in a list or mapping) for each model in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, False
    inside = getattr(annotation, "__origin__", None) in (list, dict)
    for part in get_args(annotation):
        for model, deeper in models_in(part):
            yield model, inside or deeper


def leaves(model, prefix=""):
    """Every place of the schema where a value can stand."""
    for name, field in model.model_fields.items():
        found = list(models_in(field.annotation))
        options = get_args(field.annotation)
        if not found or name == "evaluate":  # a list of names or nodes: one leaf
            yield prefix + name
            continue
        if type(None) in options:
            yield prefix + name
        for inner, many in found:
            yield from leaves(inner, f"{prefix}{name}{'.*.' if many else '.'}")


def test_every_leaf_of_the_schema_is_classed_and_nothing_else():
    found = list(leaves(Recipe))
    assert "optimizer.groups.*.lr" in found
    assert "modalities.*.kind" in found
    assert "data.train.*.source.settings" in found
    assert sorted(found) == sorted(LEAVES)


def at(data, key):
    for part in key.split("."):
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


def put(data, key, value):
    head, _, last = key.rpartition(".")
    node = at(data, head) if head else data
    if isinstance(node, list):
        node.insert(int(last), value)
    else:
        node[last] = value


def concrete(leaf, data):
    """The leaf with a name or place of the recipe for each `*`."""
    parts, node = [], data
    for part in leaf.split("."):
        if part == "*":
            part = "0" if isinstance(node, list) else next(iter(node))
        if node is not None:
            node = node[int(part)] if isinstance(node, list) else node.get(part)
        parts.append(part)
    return ".".join(parts)


NODE = {"kind": "other.kind", "settings": {"b": 2}}
CHANGED = {
    "optimizer.groups.*.lr": 0.7,
    "optimizer.betas": [0.5, 0.5],
    "evaluate": ["retrieval"],
    "freeze": ["head.*"],
    "requires": ["other"],
    "train.precision": "bf16",
    "train.layout": "packed",
    "train.threads": 3,
    "train.compile": "on",
    "data.workers": 3,
    "checkpoint.keep_last": 5,
    "train.validate_every": 3,
    "train.length_buckets": 3,
    "data.start_method": "spawn",
    "data.mixing.by": "edges",
}
"""Values that the rule below cannot guess."""

FIXED = {"schema_version", "optimizer.kind"}
"""Leaves for which the schema allows one value only."""


def other_value(leaf, old):
    if leaf in CHANGED:
        return CHANGED[leaf]
    if leaf.endswith(".max_epochs"):
        return 3
    if leaf.endswith(".source"):
        return NODE
    if leaf.endswith(".settings"):
        return {**old, "changed": 1}
    if leaf.endswith(".modalities"):
        return [*old, "speech"]
    if leaf.endswith(".missing"):
        return "skip"
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return old + 1
    if isinstance(old, float):
        return old / 2 + 0.01
    return 0.5 if leaf.endswith((".share", ".weight_decay")) else "Changed"


@pytest.mark.parametrize("leaf", sorted(LEAVES.keys() - FIXED))
def test_a_change_of_each_leaf_is_found_with_its_class(leaf, plan, recipe):
    for part in ("train", "validation", "test"):
        recipe["data"][part][0]["source"] = {"kind": "plain.source", "settings": {"a": 1}}
    key = concrete(leaf, recipe)
    old, new = at(recipe, key), other_value(leaf, at(recipe, key))
    assert old != new
    changed = copy.deepcopy(recipe)
    put(changed, key, new)
    changes = compare_plans(plan, plan_of(plan, changed), recipe, changed)
    assert changes
    assert all(change.key == key or change.key.startswith(f"{key}.") for change in changes)
    assert {change.severity for change in changes} == {LEAVES[leaf]}


def plan_of(plan, recipe):
    """The plan with the settings that the recipe's own nodes have, as an engine makes it."""
    modalities = tuple(
        replace(m, component=component_of(m.component, recipe["modalities"].get(m.name)))
        for m in plan.modalities
    )
    tasks = tuple(
        replace(t, component=component_of(t.component, node))
        for t, node in zip(plan.tasks, recipe["objectives"], strict=False)
    )
    backbone = component_of(plan.backbone, recipe["backbone"])
    return replace(plan, modalities=modalities, tasks=tasks, backbone=backbone)


def component_of(component, node):
    node = node or {"kind": component.kind, "settings": component.settings}
    return replace(component, kind=node["kind"], settings=node["settings"])


def test_a_default_spelled_out_is_no_change(plan, recipe):
    short = copy.deepcopy(recipe)
    del short["train"], short["model"], short["optimizer"]["lr"], short["backbone"]["settings"]
    assert compare_plans(plan, plan, short, recipe) == []
    assert compare_plans(plan, plan, recipe, short) == []


def test_a_default_that_a_plugin_changed_is_found(plan, recipe):
    del recipe["backbone"]["settings"]
    now = replace(plan, backbone=replace(plan.backbone, settings={"width": 32, "heads": 8}))
    (change,) = compare_plans(plan, now, recipe, recipe)
    assert str(change) == "backbone.settings.heads: must stay absent, but is 8"


def test_a_recipe_that_no_longer_fits_the_schema_is_named(plan, recipe):
    old = copy.deepcopy(recipe)
    old["train"]["gone"] = 1
    with pytest.raises(RunDirectoryError, match=r"the run's recipe: .* train\.gone: Extra inputs"):
        compare_plans(plan, plan, old, recipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.seed", 1),
        ("train.batch_tokens", 1),
        ("data.train.0.share", 0.5),
        ("data.train.0.modalities", ["image"]),
        ("objectives.0.share", 0.25),
        ("objectives.1.settings.every", 4),
        ("modalities.image.settings.size", 4),
        ("backbone.settings.width", 64),
        ("backbone.settings.new", 1),
        ("modalities.speech", {"kind": "audio.codes", "settings": {}}),
        ("data.train.1", {"name": "more", "shards": "b.tar", "modalities": ["text"]}),
        ("objectives.2", {"kind": "causal_masked"}),
        ("optimizer.groups.1", {"match": "head.*", "lr": None}),
        ("freeze", ["backbone.*"]),
        ("init_from", "runs/other"),
    ],
)
def test_what_changes_the_runs_meaning_is_refused(key, value, plan, recipe):
    assert severity_of(key) == "refused"
    changed = copy.deepcopy(recipe)
    put(changed, key, value)
    with pytest.raises(RunDirectoryError) as error:
        require_resumable(plan, plan_of(plan, changed), recipe, changed, "runs/toy")
    assert key in str(error.value)
    assert "runs/toy" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "severity"),
    [
        ("train.steps", 5000, "noted"),
        ("optimizer.lr", 0.1, "noted"),
        ("optimizer.final_lr_fraction", 0.1, "noted"),
        ("optimizer.betas", [0.9, 0.99], "noted"),
        ("checkpoint.every_steps", 7, "noted"),
        ("data.train.0.shards", "/elsewhere/a-*.tar", "noted"),
        ("callbacks", [], "harmless"),
        ("callbacks.1", {"kind": "tensorboard"}, "harmless"),
        ("evaluate", ["likelihood", {"kind": "retrieval", "settings": {}}], "harmless"),
        (
            "data.validation.1",
            {"name": "more", "shards": "b.tar", "modalities": ["text"]},
            "noted",
        ),
    ],
)
def test_what_may_change_is_told_and_let_through(key, value, severity, plan, recipe):
    changed = copy.deepcopy(recipe)
    put(changed, key, value)
    told = require_resumable(plan, plan, recipe, changed, "runs/toy")
    assert told
    assert {change.severity for change in told} == {severity}
    assert all(change.key.startswith(key) for change in told)


def test_all_refused_changes_are_listed_at_once_with_both_values(plan, recipe):
    changed = copy.deepcopy(recipe)
    put(changed, "train.seed", 7)
    put(changed, "backbone.settings.width", 64)
    put(changed, "train.steps", 9)
    with pytest.raises(RunDirectoryError) as error:
        require_resumable(plan, plan_of(plan, changed), recipe, changed, "runs/toy")
    text = str(error.value)
    assert "train.seed: must stay 0, but is 7" in text
    assert "backbone.settings.width: must stay 32, but is 64" in text
    assert "train.steps" not in text


def test_a_setting_that_one_side_lacks_is_called_absent(plan, recipe):
    changed = copy.deepcopy(recipe)
    del changed["backbone"]["settings"]["width"]
    (change,) = compare_plans(plan, plan_of(plan, changed), recipe, changed)
    assert str(change) == "backbone.settings.width: must stay 32, but is absent"


def test_a_long_value_is_cut_in_the_message(plan, recipe):
    changed = copy.deepcopy(recipe)
    put(changed, "base", "x" * 500)
    (change,) = compare_plans(plan, plan, recipe, changed)
    assert len(str(change)) < 300
    assert str(change).endswith("...")


def test_a_key_that_no_leaf_covers_is_refused():
    assert severity_of("train.not_yet_known") == "refused"


def test_no_change_is_no_change(plan, recipe):
    assert require_resumable(plan, plan, recipe, copy.deepcopy(recipe), "runs/toy") == []


def only(plan, changed, recipe):
    (change,) = compare_plans(plan, changed, recipe, recipe)
    return change


def test_another_vocabulary_is_refused(plan, recipe):
    order = Vocabulary.build({"text": Bounds(256, 1, 4), "image": Bounds(16, 4, 4)})
    lengths = Vocabulary.build({"image": Bounds(16, 4, 4), "text": Bounds(256, 1, 9)})
    for vocabulary in (order, lengths):
        change = only(plan, replace(plan, vocabulary=vocabulary), recipe)
        assert (change.key, change.severity) == ("vocabulary", "refused")


def test_other_contents_of_the_shards_are_refused(plan, recipe):
    sets = tuple(replace(item, digest="e" * 64) for item in plan.sets)
    changes = compare_plans(plan, replace(plan, sets=sets), recipe, recipe)
    training = [item.name for item in plan.split("train")]
    assert [str(change) for change in changes] == [
        f"contents of data.train.{name}: must stay '{plan.sets[0].digest}', but is '{'e' * 64}'"
        for name in sorted(training)
    ]
    assert {change.severity for change in changes} == {"refused"}


def test_another_graph_or_draw_per_step_is_refused(plan, recipe):
    graph = ModalityGraph(plan.graph.nodes, ((("image", "text"), 11),))
    assert only(plan, replace(plan, graph=graph), recipe).severity == "refused"
    task = replace(plan.tasks[0], samples_per_step=33)
    change = only(plan, replace(plan, tasks=(task,)), recipe)
    assert (change.key, change.severity) == ("tasks.causal.samples_per_step", "refused")
    assert (change.old, change.new) == (32, 33)


def with_component(plan, place, **changes):
    """The plan with another version or distribution of one component."""
    if place == "backbone":
        return replace(plan, backbone=replace(plan.backbone, **changes))
    if place == "modality":
        first = plan.modalities[0]
        first = replace(first, component=replace(first.component, **changes))
        return replace(plan, modalities=(first, *plan.modalities[1:]))
    if place == "objective":
        task = plan.tasks[0]
        return replace(plan, tasks=(replace(task, component=replace(task.component, **changes)),))
    item = plan.sets[0]
    return replace(plan, sets=(replace(item, source=replace(item.source, **changes)),))


PLACES = ["backbone", "modality", "objective", "source"]


@pytest.mark.parametrize("place", PLACES)
def test_another_version_of_a_component_is_refused_with_both_numbers(place, plan, recipe):
    changed = with_component(plan, place, version=3)
    with pytest.raises(RunDirectoryError, match="version: must stay 1, but is 3"):
        require_resumable(plan, changed, recipe, recipe, "runs/toy")


@pytest.mark.parametrize("place", PLACES)
def test_another_version_of_a_distribution_is_noted(place, plan, recipe):
    changed = with_component(plan, place, distribution="other 9.9")
    (change,) = require_resumable(plan, changed, recipe, recipe, "runs/toy")
    assert change.severity == "noted"
    assert "other 9.9" in str(change)


def test_another_kind_is_told_once_by_its_recipe_key(plan, recipe):
    changed = copy.deepcopy(recipe)
    put(changed, "backbone.kind", "mamba.mamba2")
    other = with_component(plan, "backbone", kind="mamba.mamba2", version=5, distribution="m 1")
    assert [c.key for c in compare_plans(plan, other, recipe, changed)] == ["backbone.kind"]


def test_other_packages_are_noted(plan, recipe):
    changed = replace(plan, versions={"torch": "2.14.0", "numpy": "2.0"})
    told = require_resumable(plan, changed, recipe, recipe, "runs/toy")
    assert [str(change) for change in told] == [
        "versions.numpy: was absent, but is '2.0'",
        "versions.torch: was '2.13.0', but is '2.14.0'",
    ]
    assert {change.severity for change in told} == {"noted"}


def test_reasons_never_stop_a_resume(plan, recipe):
    assert compare_plans(plan, replace(plan, reasons=()), recipe, recipe) == []


def test_a_share_that_a_mixing_rule_decides_otherwise_is_refused(plan, recipe):
    first, *rest = plan.sets
    now = replace(plan, sets=(replace(first, share=first.share / 2), *rest))
    (change,) = compare_plans(plan, now, recipe, recipe)
    assert change.severity == "refused"
    assert change.key == f"drawn share of data.train.{first.name}"
