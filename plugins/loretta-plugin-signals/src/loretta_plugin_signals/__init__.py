"""Multichannel time series (IMU, ECG, pen strokes) for loretta-framework. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl

_EXTENSIONS = ("csv", "tsv", "npy", "json")


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Called when a recipe names `signals.<something>`."""
    register(
        ModalitySpec(
            name="signals.levels",
            version=1,
            summary="Series of several channels, each measurement rounded to one of a few levels.",
            settings="loretta_plugin_signals.levels:LevelsSettings",
            factory="loretta_plugin_signals.levels:Levels",
            trial="loretta_plugin_signals.trials:LEVELS",
            capabilities=ModalityCapabilities(fitted=True, extensions=_EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="signals.patch_codes",
            version=1,
            summary="Series of several channels as learned codes of a few steps each.",
            settings="loretta_plugin_signals.patch_codes:PatchCodesSettings",
            factory="loretta_plugin_signals.patch_codes:PatchCodes",
            trial="loretta_plugin_signals.trials:PATCH_CODES",
            capabilities=ModalityCapabilities(fitted=True, extensions=_EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="signals.patches",
            version=1,
            summary="Series of several channels as vectors of a few steps each; a source only.",
            settings="loretta_plugin_signals.patches:PatchesSettings",
            factory="loretta_plugin_signals.patches:Patches",
            trial="loretta_plugin_signals.trials:PATCHES",
            capabilities=ModalityCapabilities(form="continuous", extensions=_EXTENSIONS),
        )
    )
