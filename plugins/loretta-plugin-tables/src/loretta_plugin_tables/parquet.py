"""`tables.parquet`: rows of Parquet files as samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loretta_framework.api.errors import ShardError
from loretta_plugin_tables.files import TableFile
from loretta_plugin_tables.places import places
from loretta_plugin_tables.settings import ParquetSettings
from loretta_plugin_tables.store import TableStore, modality_of


class ParquetFile(TableFile):
    """One Parquet file; its groups are row groups."""

    def _open(self) -> Any:
        return pq.ParquetFile(self.path, page_checksum_verification=True)

    def _schema(self, handle: Any) -> pa.Schema:
        return handle.schema_arrow

    def _group_rows(self, handle: Any) -> list[int]:
        metadata = handle.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def _column(self, handle: Any, group: int, name: str) -> pa.ChunkedArray:
        # One thread: Arrow's pool does not live on in a forked worker, which would wait for it.
        return handle.read_row_group(group, columns=[name], use_threads=False).column(name)


class ParquetSource:
    """See `tables.parquet` in the README."""

    def __init__(self, settings: ParquetSettings, context: Any) -> None:
        self.settings = settings

    def modality_of(self, member: str) -> str | None:
        """The first part of the member's name."""
        return modality_of(member)

    def open(self, patterns: Sequence[str], base: Path) -> TableStore:
        """The rows of the files that the patterns name, in the order of their paths.

        Raises:
            ShardError: nothing is there, or a file, column, cell type or key cannot be used.
        """
        files = []
        for path in places(patterns, base):
            if path.suffix != ".parquet":
                raise ShardError(
                    "the name of a Parquet file must end in .parquet",
                    where=str(path),
                    fix="name the files, for example with 'folder/*.parquet'",
                )
            files.append(ParquetFile(path))
        return TableStore(files, self.settings, cache_bytes=self.settings.cache_mib << 20)
