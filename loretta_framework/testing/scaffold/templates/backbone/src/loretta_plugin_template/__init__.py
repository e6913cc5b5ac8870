"""The plugin `template`: tells loretta-framework what there is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import BackboneCapabilities, BackboneSpec, hookimpl


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Called when a recipe names `template.<something>`."""
    register(
        BackboneSpec(
            name="template.memory",
            version=1,
            summary="Gated linear recurrence: each channel keeps a part of its past.",
            settings="loretta_plugin_template.settings:MemorySettings",
            factory="loretta_plugin_template.backbone:build_memory",
            trial="loretta_plugin_template.settings:TRIAL",
            capabilities=BackboneCapabilities(
                cache="constant", float32_parameters=("blocks.*.keep_bias",)
            ),
        )
    )
