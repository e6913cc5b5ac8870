"""Tables for loretta-framework: registers `tables.parquet` and `tables.huggingface`. Light."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import SourceSpec, hookimpl


@hookimpl
def register_sources(register: Callable[[SourceSpec], None]) -> None:
    """Rows of tables as samples."""
    register(
        SourceSpec(
            name="tables.parquet",
            version=1,
            summary="Rows of Parquet files: columns become the parts of a sample.",
            settings="loretta_plugin_tables.settings:ParquetSettings",
            factory="loretta_plugin_tables.parquet:ParquetSource",
            trial="loretta_plugin_tables.trials:PARQUET",
        )
    )
    register(
        SourceSpec(
            name="tables.huggingface",
            version=1,
            summary="Hugging Face data sets that `save_to_disk` wrote, read without that library.",
            settings="loretta_plugin_tables.settings:TableSettings",
            factory="loretta_plugin_tables.huggingface:HuggingFaceSource",
            trial="loretta_plugin_tables.trials:HUGGINGFACE",
        )
    )
