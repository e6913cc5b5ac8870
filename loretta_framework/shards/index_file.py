"""The index as a file: safetensors with the columns of a `ShardTable`, mapped and not read.

The library copies all arrays on writing and on reading, and writes metadata in random order, so the
file is written and opened here; `index_header` tells its form.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.shards.index_header import (
    ENTRY,
    FORMAT,
    KINDS,
    Fingerprint,
    checksum,
    open_index_file,
)
from loretta_framework.shards.table import ShardTable

_DTYPES = {kind: np.dtype(code) for kind, code in (("U64", "<u8"), ("U32", "<u4"), ("U8", "u1"))}


def write_index(file: Path, fingerprint: Fingerprint, table: ShardTable) -> None:
    """Write the index under its name, all of it or nothing.

    It is written aside under a name of its own and renamed: ranks may index one shard at once.

    Raises:
        OSError: the folder cannot be written.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(sum(table.shapes, ())))}
    facts = {
        "format": FORMAT,
        **asdict(fingerprint),
        "names": list(names),
        "shapes": [[names[name] for name in shape] for shape in table.shapes],
    }
    columns = table.columns()
    stated = {**facts, "crc32": checksum(facts, {k: v.data for k, v in columns.items()})}
    header = _header({ENTRY: json.dumps(stated, separators=(",", ":"))}, columns)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(len(header).to_bytes(8, "little") + header)
            for column in KINDS:
                opened.write(columns[column].data)
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def read_index(file: Path) -> tuple[Fingerprint, ShardTable]:
    """What `write_index` wrote; the columns stay on disk until they are used.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another format, or no index.
    """
    opened = open_index_file(file)
    columns = {
        name: np.frombuffer(data, dtype=_DTYPES[KINDS[name][0]])
        for name, data in opened.columns.items()
    }
    table = ShardTable(opened.shapes, **columns)
    table.require_sound(opened.fingerprint.size)
    return opened.fingerprint, table


def _header(metadata: dict[str, str], columns: dict[str, NDArray[Any]]) -> bytes:
    """JSON, padded so that the columns are aligned."""
    stated: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, (kind, _) in KINDS.items():
        stop = at + columns[name].nbytes
        stated[name] = {
            "dtype": kind,
            "shape": [len(columns[name])],
            "data_offsets": [at, stop],
        }
        at = stop
    text = json.dumps(stated, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)
