"""A stored plan's settings as the components of today read them."""

from __future__ import annotations

import json
from dataclasses import replace

from loretta_framework.recipe.plan import ComponentPlan, Plan
from loretta_framework.registry import Group, Registry
from loretta_framework.registry.guard import contained
from loretta_framework.registry.promises import settings_class


def renewed(plan: Plan, registry: Registry) -> Plan:
    """The plan with former names of settings replaced, and with settings that are newer than it.

    Those get their defaults, which stand for what a component did before it had them; where they do
    not, its version was raised, and is compared on its own. No value that the plan holds changes,
    whatever its default is today. What cannot be read today stays as it is.
    """
    return replace(
        plan,
        modalities=tuple(
            replace(item, component=_renewed("modality", item.component, registry))
            for item in plan.modalities
        ),
        backbone=_renewed("backbone", plan.backbone, registry),
        tasks=tuple(
            replace(task, component=_renewed("objective", task.component, registry))
            for task in plan.tasks
        ),
    )


def _renewed(group: Group, component: ComponentPlan, registry: Registry) -> ComponentPlan:
    try:
        model = settings_class(registry.spec(group, component.kind))
        with contained():
            settings = model.model_validate_json(json.dumps(component.settings))
    except Exception:  # a validator of a plugin may raise anything
        return component
    return replace(component, settings=settings.model_dump(mode="json"))
