"""With what the conformance kit tries both sources: three rows in two files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loretta_framework.api import Trial

SETTINGS = {"columns": {"caption": "text.txt", "wave": "audio.npy"}, "key": "id", "meta": ["label"]}


def _rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "id": [f"row-{number}" for number in numbers],
            "caption": pa.array([f"number {n}" if n else None for n in numbers], pa.string()),
            "wave": pa.array([[0.5] * n for n in numbers], pa.list_(pa.float32())),
            "label": list(numbers),
        }
    )


def write_parquet(folder: Path) -> list[str]:
    """Two Parquet files, the first with two groups of rows."""
    pq.write_table(_rows(0, 2), folder / "a.parquet", row_group_size=1)
    pq.write_table(_rows(2, 1), folder / "b.parquet")
    return ["*.parquet"]


def write_saved(folder: Path) -> list[str]:
    """A data set as `save_to_disk` leaves it."""
    saved = folder / "saved"
    saved.mkdir()
    for name, table in {"a.arrow": _rows(0, 2), "b.arrow": _rows(2, 1)}.items():
        with (
            pa.OSFile(str(saved / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as stream,
        ):
            stream.write_table(table, max_chunksize=1)
    files = [{"filename": "a.arrow"}, {"filename": "b.arrow"}]
    (saved / "state.json").write_text(json.dumps({"_data_files": files}))
    return ["saved"]


PARQUET = Trial(settings=SETTINGS, write_shards=write_parquet)
HUGGINGFACE = Trial(settings=SETTINGS, write_shards=write_saved)
