"""What differs between a run and what it is asked to go on with, by class; see `severity`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.checkpoint.filled import filled
from loretta_framework.checkpoint.severity import NOTED, REFUSED, Severity, severity_of
from loretta_framework.recipe.plan import ComponentPlan, Plan


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands for the value of a key that one side lacks."""

    def __str__(self) -> str:
        return "absent"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a run and what it is asked to go on with.

    Attributes:
        key: recipe key as written (`data.train.0.share`), or a key of the plan.
        severity: "refused", "noted" or "harmless".
        old: value in the run.
        new: value asked for.
    """

    key: str
    severity: Severity
    old: Any
    new: Any

    def __str__(self) -> str:
        verb = "must stay" if self.severity == REFUSED else "was"
        return f"{self.key}: {verb} {_brief(self.old)}, but is {_brief(self.new)}"


def compare_plans(
    old: Plan, new: Plan, old_recipe: Mapping[str, Any], new_recipe: Mapping[str, Any]
) -> list[Change]:
    """All differences, recipe keys first, each once.

    Args:
        old: the run's plan.
        new: the plan of the recipe at hand.
        old_recipe: the run's resolved recipe, plain data; defaults may be left out.
        new_recipe: the resolved recipe at hand, likewise.

    Raises:
        RunDirectoryError: a recipe does not fit this version's schema.
    """
    before, after = filled(old_recipe, old, "the run's recipe"), filled(new_recipe, new, "recipe")
    changes = [
        Change(key, severity_of(key), had, has) for key, had, has in _differences(before, after, "")
    ]
    return changes + list(_plan_changes(old, new))


def require_resumable(
    old: Plan, new: Plan, old_recipe: Mapping[str, Any], new_recipe: Mapping[str, Any], where: str
) -> list[Change]:
    """The changes to tell the user about (noted and harmless) when a run may go on.

    Raises:
        RunDirectoryError: lists every refused change with its old and new value.
    """
    changes = compare_plans(old, new, old_recipe, new_recipe)
    refused = [change for change in changes if change.severity == REFUSED]
    if refused:
        raise RunDirectoryError(
            "the run cannot be resumed with these changes:\n"
            + "\n".join(f"  {change}" for change in refused),
            where=where,
            fix="undo them, or start a new run (its `init_from` may name this one)",
        )
    return changes


def _differences(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            below = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, ABSENT), new.get(name, ABSENT), below)
    elif _lists_of_nodes(old, new):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else ABSENT
            after = new[index] if index < len(new) else ABSENT
            yield from _differences(before, after, f"{key}.{index}")
    elif old != new:
        yield key, old, new


def _lists_of_nodes(old: Any, new: Any) -> bool:
    return all(
        isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
        for value in (old, new)
    )


def _plan_changes(old: Plan, new: Plan) -> Iterator[Change]:
    decisive = {
        "vocabulary": (_blocks(old), _blocks(new)),
        "graph.observed": (dict(old.graph.observed), dict(new.graph.observed)),
    }
    for key, (before, after) in decisive.items():
        if before != after:
            yield Change(key, REFUSED, before, after)
    was, now = dict(_components(old)), dict(_components(new))
    for name in sorted(was.keys() & now.keys()):
        yield from _component_changes(name, was[name], now[name])
    yield from _numbers(_sets(old), _sets(new))
    yield from _numbers(_schedule(old), _schedule(new))
    for package in sorted(old.versions.keys() | new.versions.keys()):
        version: str | Absent = old.versions.get(package, ABSENT)
        version_now: str | Absent = new.versions.get(package, ABSENT)
        if version != version_now:
            yield Change(f"versions.{package}", NOTED, version, version_now)
    yield from _other_files(old, new)


def _other_files(old: Plan, new: Plan) -> Iterator[Change]:
    """Other code under the same version number, which no version would show."""
    was = {(p.distribution, p.version): p.record for p in old.plugins}
    for plugin in new.plugins:
        record = was.get((plugin.distribution, plugin.version), plugin.record)
        if record != plugin.record:
            key = f"plugins.{plugin.distribution} {plugin.version}"
            yield Change(key, NOTED, record[:12] or ABSENT, plugin.record[:12] or ABSENT)


def _component_changes(name: str, old: ComponentPlan, new: ComponentPlan) -> Iterator[Change]:
    if old.kind != new.kind:
        return  # the recipe key says so already
    if old.version != new.version:
        yield Change(f"{name} ({old.kind}) version", REFUSED, old.version, new.version)
    if old.distribution != new.distribution:
        yield Change(f"{name} ({old.kind}) distribution", NOTED, old.distribution, new.distribution)


def _components(plan: Plan) -> Iterator[tuple[str, ComponentPlan]]:
    for modality in plan.modalities:
        yield f"modalities.{modality.name}", modality.component
    yield "backbone", plan.backbone
    for task in plan.tasks:
        yield f"objectives.{task.name}", task.component
    for item in plan.sets:
        if item.source is not None and item.split != "test":
            yield f"data.{item.split}.{item.name}.source", item.source


def _blocks(plan: Plan) -> list[str]:
    return [
        f"{b.modality}: ids {b.start}..{b.stop - 1}, {b.min_tokens}..{b.max_tokens} tokens"
        for b in plan.vocabulary.blocks
    ]


def _numbers(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Change]:
    """Refuse what differs among the keys of both; a key that came or went is told elsewhere."""
    for key in sorted(old.keys() & new.keys()):
        if old[key] != new[key]:
            yield Change(key, REFUSED, old[key], new[key])


def _sets(plan: Plan) -> dict[str, object]:
    """Contents of the training sets and how often each is drawn, which a mixing rule may have
    decided; held-out sets may change, they steer nothing."""
    return {
        f"{what} of data.train.{item.name}": value
        for item in plan.split("train")
        for what, value in (("contents", item.digest), ("drawn share", item.share))
    }


def _schedule(plan: Plan) -> dict[str, object]:
    """What decides a task's data position: a moved start would re-deal the steps already done."""
    return {
        f"tasks.{task.name}.{key}": getattr(task, key)
        for task in plan.tasks
        for key in ("samples_per_step", "start_step")
    }


def _brief(value: Any) -> str:
    text = str(value) if isinstance(value, Absent) else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
