"""The plugin `template`: tells loretta-framework what there is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ObjectiveSpec, hookimpl


@hookimpl
def register_objectives(register: Callable[[ObjectiveSpec], None]) -> None:
    """Called when a recipe names `template.<something>`."""
    register(
        ObjectiveSpec(
            name="template.one_direction",
            version=1,
            summary="Some modalities are given and stand first; only the others are learned.",
            settings="loretta_plugin_template.settings:OneDirectionSettings",
            factory="loretta_plugin_template.objective:OneDirection",
            trial="loretta_plugin_template.settings:TRIAL",
        )
    )
