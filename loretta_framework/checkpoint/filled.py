"""A recipe with every default filled in, so that a default spelled out is no difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.recipe.plan import ComponentPlan, Plan
from loretta_framework.recipe.schema import Recipe


def filled(recipe: Mapping[str, Any], plan: Plan, where: str) -> dict[str, Any]:
    """The recipe as plain data: the schema's defaults, and settings as the plan's components hold.

    Settings come from the plan because it keeps the defaults of the day: a plugin that changed one
    since then would otherwise change the run unseen.

    Raises:
        RunDirectoryError: the recipe does not fit this version's schema.
    """
    try:
        data = Recipe.model_validate(dict(recipe)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunDirectoryError(
            f"the recipe is not valid: {key}: {first['msg']}",
            where=where,
            fix="use the version of loretta-framework that the run was made with",
        ) from error
    for modality in plan.modalities:
        _fill(data["modalities"].get(modality.name), modality.component)
    _fill(data["backbone"], plan.backbone)
    names = [node["name"] or node["kind"] for node in data["objectives"]]
    tasks = {task.name: task.component for task in plan.tasks}
    for name, node in zip(names, data["objectives"], strict=True):
        if name in tasks and Counter(names)[name] == 1:
            _fill(node, tasks[name])
    return data


def _fill(node: dict[str, Any] | None, component: ComponentPlan) -> None:
    if node is not None and node["kind"] == component.kind:
        node["settings"] = component.settings
