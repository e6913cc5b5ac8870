"""Tables of named features (mRNA, miRNA, protein, mutations) for loretta-framework. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Called when a recipe names `omics.<something>`."""
    register(
        ModalitySpec(
            name="omics.bins",
            version=1,
            summary="One token for each named feature: its quantile among the training rows.",
            settings="loretta_plugin_omics.settings:BinsSettings",
            factory="loretta_plugin_omics.tokenizer:build",
            trial="loretta_plugin_omics.trial:TRIAL",
            capabilities=ModalityCapabilities(fitted=True, extensions=("csv", "tsv", "json")),
        )
    )
