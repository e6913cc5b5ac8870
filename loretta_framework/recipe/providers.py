"""Which plugins bring a recipe's components: the table that plans and checkpoints hold."""

from __future__ import annotations

from collections.abc import Mapping

from loretta_framework.recipe.nodes import Component
from loretta_framework.recipe.plan import PluginPlan
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.registry import Registry
from loretta_framework.registry.records import record_digest


def provided(components: Mapping[KeyPath, Component], registry: Registry) -> tuple[PluginPlan, ...]:
    """The plugins of these components, by name."""
    specs = {component.spec.name: component.spec for component in components.values()}
    found: dict[str, dict[str, int]] = {}
    for name in sorted(specs):
        found.setdefault(registry.provider(name).name, {})[name] = specs[name].version
    plans = []
    for plugin, versions in sorted(found.items()):
        record = registry.provider(next(iter(versions)))
        oldest, newest = zip(*(specs[name].api for name in versions), strict=True)
        plans.append(
            PluginPlan(
                plugin,
                record.distribution,
                record.version,
                (max(oldest), min(newest)),
                versions,
                record_digest(record.distribution),
            )
        )
    return tuple(plans)
