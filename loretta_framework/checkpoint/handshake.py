"""What a run was made with, against what is installed; asked before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from loretta_framework.api.errors import CheckpointError, PluginError, RunDirectoryError
from loretta_framework.recipe.nodes import needed_plugins, nested_kinds, nodes, prefixes
from loretta_framework.recipe.plan import ComponentPlan, Plan
from loretta_framework.registry import Registry

_RESTORE = "restore both files from a copy; do not trust a run that was changed by others"

_PACKAGE = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
"""The name of a distribution, as the packaging standards spell it."""

Named = Mapping[str, ComponentPlan]
"""Place in the recipe -> the component that stood there."""


def loaded_components(plan: Plan) -> dict[str, ComponentPlan]:
    """What a trained model consists of: its modalities and its backbone, and what those nest."""
    return _with_nested(plan, _loaded(plan))


def trained_components(plan: Plan) -> dict[str, ComponentPlan]:
    """What decides how a run goes on: those of the model, objectives, and sources it trains on."""
    return _with_nested(plan, _trained(plan))


def _loaded(plan: Plan) -> dict[str, ComponentPlan]:
    modalities = {f"modalities.{item.name}": item.component for item in plan.modalities}
    return {**modalities, "backbone": plan.backbone}


def _trained(plan: Plan) -> dict[str, ComponentPlan]:
    return {
        **_loaded(plan),
        **{f"objectives.{task.name}": task.component for task in plan.tasks},
        **{
            f"data.{item.split}.{item.name}.source": item.source
            for item in plan.sets
            if item.source is not None and item.split != "test"
        },
    }


def source_components(plan: Plan) -> dict[str, ComponentPlan]:
    """The sources of all sets, those of the test sets too: what an evaluation may read with."""
    return {f"data.{s.split}.{s.name}.source": s.source for s in plan.sets if s.source}


def _with_nested(plan: Plan, components: Named) -> dict[str, ComponentPlan]:
    """Those, and the components in their settings that the table of plugins has."""
    brought = {
        kind: ComponentPlan(kind, version, f"{plugin.distribution} {plugin.version}", {})
        for plugin in plan.plugins
        for kind, version in plugin.components.items()
    }
    nested = {
        f"{key}.settings: {kind}": brought[kind]
        for key, component in components.items()
        for kind in nested_kinds(component.settings)
        if kind in brought
    }
    return {**components, **nested}


def saved_components(plan: Plan) -> dict[str, dict[str, Any]]:
    """Kind, version and distribution of each component, for a checkpoint's state."""
    fields = ("kind", "version", "distribution")
    return {
        key: {field: getattr(component, field) for field in fields}
        for key, component in trained_components(plan).items()
    }


def require_same_meaning(saved: Any, components: Named, where: str) -> set[str]:
    """Weights that another model starts from were trained on what these components make.

    Args:
        saved: what `saved_components` wrote; None in checkpoints of before it did.
        components: of the model that starts.
        where: the weights were read from.

    Returns:
        Places where another kind of component stood: nothing is known of their ids.

    Raises:
        PluginError: a component of the same kind has another version.
        CheckpointError: the saved data are damaged.
    """
    if saved is None:
        return set()
    had = _table(saved, where)
    problems = [
        f"  {key}: '{component.kind}' must have version {had[key][1]}, but has version "
        f"{component.version} ({component.distribution})"
        for key, component in components.items()
        if key in had and had[key][0] == component.kind and had[key][1] != component.version
    ]
    if problems:
        raise PluginError(
            "the weights mean something else to the components that are installed:\n"
            + "\n".join(problems),
            where=where,
            fix="install the versions that the weights were trained with, or start afresh",
        )
    return {key for key, item in components.items() if key in had and had[key][0] != item.kind}


def other_distributions(saved: Any, components: Named) -> list[str]:
    """A sentence for each package of another version among those that made the weights.

    Args:
        saved: as in `require_same_meaning`, which has found it sound.
        components: of the model that starts.
    """
    had = {key: str(item.get("distribution", "")) for key, item in (saved or {}).items()}
    return list(
        dict.fromkeys(
            f"the weights were made with {had[key]}, but {component.distribution} is installed: "
            "what it makes may differ"
            for key, component in components.items()
            if had.get(key) and had[key] != component.distribution
        )
    )


def require_own_components(saved: Any, components: Named, where: str) -> None:
    """A checkpoint belongs to the plan beside it: both name the same components.

    Args:
        saved: what `saved_components` wrote; None in checkpoints of before it did.
        components: of the plan.
        where: the checkpoint.

    Raises:
        CheckpointError: one has another kind or version, or the saved data are damaged.
    """
    if saved is None:
        return
    had = _table(saved, where)
    problems = [
        f"  {key}: must be '{item.kind}' version {item.version}, but is "
        f"{'{!r} version {}'.format(*had[key]) if key in had else 'not there'}"
        for key, item in components.items()
        # A set may be renamed or added to those that are only watched.
        if had.get(key) != (item.kind, item.version) and (key in had or key[:5] != "data.")
    ]
    if problems:
        raise CheckpointError(
            "the checkpoint was made with other components than plan.json names:\n"
            + "\n".join(problems),
            where=where,
            fix="restore plan.json and the checkpoint from one copy of the run",
        )


def _table(saved: Any, where: str) -> dict[str, tuple[str, int]]:
    """Kind and version by place in the recipe."""
    try:
        return {key: (str(item["kind"]), int(item["version"])) for key, item in saved.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"its table of components is damaged: {type(error).__name__}: {error}",
            where=where,
            fix="use another checkpoint, or copy this one again",
        ) from error


def plugins_of(components: Named) -> set[str]:
    """Entry-point names of the plugins that may bring these components and what they nest."""
    found: set[str] = set()
    for component in components.values():
        for kind in (component.kind, *nested_kinds(component.settings)):
            found |= prefixes(kind)
    return found


def require_named(plan: Plan, recipe: Mapping[str, Any], where: str) -> None:
    """The modalities and components of a plan are those that the recipe beside it names.

    A recipe is what people read: a plan, which nobody does, must not enable a plugin.

    Args:
        plan: of the run.
        recipe: of the run, resolved, plain data.
        where: the run.

    Raises:
        RunDirectoryError: says what the recipe does not name.
    """
    known = {node.kind for node in nodes(recipe)}
    names = {item.name for item in plan.modalities}
    if not names == set(plan.vocabulary.modalities) == set(recipe["modalities"]):
        raise RunDirectoryError(
            f"plan.json has the modalities {', '.join(sorted(names))} and ids for "
            f"{', '.join(plan.vocabulary.modalities)}, but recipe.yaml names "
            f"{', '.join(recipe['modalities'])}",
            where=where,
            fix=_RESTORE,
        )
    named = needed_plugins(recipe)
    top = {**_trained(plan), **source_components(plan)}
    wanted = {**trained_components(plan), **top}
    strange = [
        f"'{item.kind}' for {key}"
        for key, item in wanted.items()
        if item.kind not in known and (key in top or not _is_named(item.kind, named))
    ]
    if strange:
        raise RunDirectoryError(
            f"plan.json names {', '.join(strange)}, but recipe.yaml does not",
            where=where,
            fix=_RESTORE,
        )


def _is_named(kind: str, plugins: set[str]) -> bool:
    return "." not in kind or bool(prefixes(kind) & plugins)


def require_present(components: Named, registry: Registry, where: str) -> None:
    """The plugins of a run can be used.

    Raises:
        PluginError: names every component that cannot be had, who brought it, and how to get that.
    """
    problems, fixes = [], []
    for key, component in components.items():
        try:
            registry.component(component.kind)
        except PluginError as error:
            absent = component.kind.rpartition(".")[0] not in {r.name for r in registry.records}
            brought = f"{key} needs '{component.kind}', which {component.distribution} brought"
            problems.append(f"  {brought}: {error.what}")
            fixes.append(_install(component) if absent else error.fix)
    if problems:
        raise PluginError(
            "the run needs plugins that cannot be used:\n" + "\n".join(problems),
            where=where,
            fix="; ".join(dict.fromkeys(fixes)),
        )


def require_versions(components: Named, registry: Registry, where: str) -> list[str]:
    """Components have the versions that the run was made with.

    Returns:
        A sentence for each distribution that has another version; what it makes may differ.

    Raises:
        PluginError: names every component of another version, with both numbers.
    """
    problems, fixes = [], []
    for key, component in components.items():
        version = registry.component(component.kind).version
        if version != component.version:
            problems.append(
                f"  {key}: '{component.kind}' must have version {component.version} "
                f"({component.distribution}), but has version {version} "
                f"({registry.distribution(component.kind)})"
            )
            fixes.append(_install(component))
    if problems:
        raise PluginError(
            "what is saved means something else to the components that are installed:\n"
            + "\n".join(problems),
            where=where,
            fix="; ".join(dict.fromkeys(fixes)),
        )
    return list(dict.fromkeys(_other_distributions(components, registry)))


def _other_distributions(components: Named, registry: Registry) -> Iterator[str]:
    for component in components.values():
        source = registry.distribution(component.kind)
        if source != component.distribution:
            yield (
                f"the run was made with {component.distribution}, but {source} is installed: "
                "what it makes may differ"
            )


def _install(component: ComponentPlan) -> str:
    """The command for it; a plan is a file from somewhere, so only for what is a name and number."""
    name, _, version = component.distribution.partition(" ")
    try:
        number = Version(version)
    except InvalidVersion:
        number = None
    if number is None or not _PACKAGE.fullmatch(name):
        return f"find out who brings '{component.kind}': plan.json names no package and version"
    return f"pip install {name}=={number}"
