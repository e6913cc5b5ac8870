"""The plugin `template`: tells loretta-framework what there is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Called when a recipe names `template.<something>`."""
    register(
        ModalitySpec(
            name="template.levels",
            version=1,
            summary="A fixed number of measurements, each rounded to one of a few levels.",
            settings="loretta_plugin_template.levels:LevelsSettings",
            factory="loretta_plugin_template.levels:Levels",
            trial="loretta_plugin_template.levels:TRIAL",
            capabilities=ModalityCapabilities(extensions=("json",)),
        )
    )
