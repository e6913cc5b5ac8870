"""`tables.huggingface`: data sets that the `datasets` library saved to disk, as samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from loretta_framework.api.errors import ShardError
from loretta_plugin_tables.files import TableFile
from loretta_plugin_tables.places import places
from loretta_plugin_tables.settings import TableSettings
from loretta_plugin_tables.store import TableStore, modality_of

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


class ArrowFile(TableFile):
    """One Arrow stream, mapped into memory; its groups are record batches."""

    resident = False

    def _open(self) -> Any:
        stream = pa.ipc.open_stream(pa.memory_map(str(self.path)))
        return stream.schema, list(stream)

    def _schema(self, handle: Any) -> pa.Schema:
        return handle[0]

    def _group_rows(self, handle: Any) -> list[int]:
        return [batch.num_rows for batch in handle[1]]

    def _column(self, handle: Any, group: int, name: str) -> pa.ChunkedArray:
        column = handle[1][group].column(name)
        # Mapped bytes are taken as they are: a damaged offset would read outside the file.
        column.validate(full=True)
        return pa.chunked_array([column])


class HuggingFaceSource:
    """See `tables.huggingface` in the README."""

    def __init__(self, settings: TableSettings, context: Any) -> None:
        self.settings = settings

    def modality_of(self, member: str) -> str | None:
        """The first part of the member's name."""
        return modality_of(member)

    def open(self, patterns: Sequence[str], base: Path) -> TableStore:
        """The rows of the saved data sets that the patterns name.

        Raises:
            ShardError: a folder is no saved data set, or a file, column, cell type or key cannot
                be used.
        """
        files = [file for path in places(patterns, base) for file in _files(path)]
        return TableStore(files, self.settings, cache_bytes=0)


def _files(folder: Path) -> Iterator[ArrowFile]:
    if (folder / _SPLITS).is_file():
        found = _json(folder / _SPLITS).get("splits")
        splits = ", ".join(map(str, found)) if isinstance(found, list) else ""
        raise ShardError(
            f"it holds several splits{': ' if splits else ''}{splits}",
            where=str(folder),
            fix=f"name one of them, for example '{folder.name}/train'",
        )
    if not (folder / _STATE).is_file():
        raise ShardError(
            f"it is no saved data set: there is no {_STATE}",
            where=str(folder),
            fix="write it with `dataset.save_to_disk(folder)` and name that folder",
        )
    state = _json(folder / _STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise ShardError(
            "its rows are chosen by a list of indices, which is not read",
            where=str(folder / _STATE),
            fix="call `dataset.flatten_indices()` and save it again",
        )
    labels = dict(_labels(folder))
    entries = state.get("_data_files")
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name != Path(name).name or name in ("", ".."):
            raise ShardError(
                f"a data file must be a file name, but is {name!r}",
                where=str(folder / _STATE),
                fix="save the data set again",
            )
        yield ArrowFile(folder / name, labels)


def _labels(folder: Path) -> Iterator[tuple[str, list[str]]]:
    if not (folder / _INFO).is_file():
        return
    features = _json(folder / _INFO).get("features")
    for column, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                yield column, names


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ShardError(
            f"it is not JSON: {error}", where=str(path), fix="save the data set again"
        ) from error
    return data if isinstance(data, dict) else {}
