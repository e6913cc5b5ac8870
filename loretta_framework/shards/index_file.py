"""The index as a file: safetensors with the columns of a `ShardTable`, mapped and not read.

The metadata's one entry is JSON: format, size, revision, sha256, names and shapes, and a checksum
over all of it and the columns. The library copies all arrays on writing and on reading, and writes
metadata in random order, so the file is written and opened here; its format is an 8-byte length, a
JSON header, and the arrays' bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.shards.members import parse_local
from loretta_framework.shards.table import Fingerprint, ShardTable

FORMAT = 2
"""Version of the index file; another one is built again."""

MAX_HEADER_BYTES = 16 << 20

_ENTRY = "loretta-index"
_COLUMNS: dict[str, tuple[str, np.dtype[Any]]] = {
    "key_hashes_S": ("U64", np.dtype("<u8")),
    "key_ends_S": ("U32", np.dtype("<u4")),
    "shape_S": ("U32", np.dtype("<u4")),
    "blocks_M": ("U32", np.dtype("<u4")),
    "sizes_M": ("U32", np.dtype("<u4")),
    "crc32_M": ("U32", np.dtype("<u4")),
    "keys_K": ("U8", np.dtype("u1")),
}
"""In the order in which they lie in the file: each begins where its numbers may."""


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
    stated = {**facts, "crc32": _checksum(facts, columns)}
    header = _header({_ENTRY: json.dumps(stated, separators=(",", ":"))}, columns)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(len(header).to_bytes(8, "little") + header)
            for column in _COLUMNS:
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
    header, data = _mapped(file)
    try:
        facts = json.loads(header.pop("__metadata__")[_ENTRY])
        stated = facts.pop("crc32")
        if facts["format"] != FORMAT:
            raise ValueError("the index has another format")
        columns = {name: _column(name, header.pop(name), data) for name in _COLUMNS}
        if header or stated != _checksum(facts, columns):
            raise ValueError("the index is damaged")
        fingerprint = Fingerprint(
            int(facts["size"]), str(facts["revision"]), bytes.fromhex(facts["sha256"]).hex()
        )
        shapes = _shapes(facts["names"], facts["shapes"])
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"the index is malformed: {error}") from error
    table = ShardTable(shapes, **columns)
    table.require_sound(fingerprint.size)
    return fingerprint, table


def _header(metadata: dict[str, str], columns: dict[str, NDArray[Any]]) -> bytes:
    """JSON, padded so that the columns are aligned."""
    stated: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, (kind, _) in _COLUMNS.items():
        stop = at + columns[name].nbytes
        stated[name] = {
            "dtype": kind,
            "shape": [len(columns[name])],
            "data_offsets": [at, stop],
        }
        at = stop
    text = json.dumps(stated, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _mapped(file: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise ValueError("the index is cut off or has no header")
        try:
            header = json.loads(opened.read(length))
        except RecursionError as error:
            raise ValueError("the index has no header") from error
        if not isinstance(header, dict) or size == 8 + length:
            raise ValueError("the index has no columns")
        data = np.memmap(opened, dtype=np.uint8, mode="r", offset=8 + length)
    return header, np.asarray(data)


def _column(name: str, stated: Any, data: NDArray[np.uint8]) -> NDArray[Any]:
    kind, dtype = _COLUMNS[name]
    (start, stop), (length,) = stated["data_offsets"], stated["shape"]
    whole = all(type(number) is int and number >= 0 for number in (start, stop, length))
    if stated["dtype"] != kind or not whole or stop - start != length * dtype.itemsize:
        raise ValueError(f"the index's column {name} has another form")
    if stop > len(data):
        raise ValueError("the index is cut off")
    return data[start:stop].view(dtype)


def _shapes(names: Any, shapes: Any) -> tuple[tuple[str, ...], ...]:
    for name in names:
        parse_local(name)
    found = tuple(tuple(names[number] for number in shape) for shape in shapes)
    if len(set(found)) != len(found) or any(len(set(shape)) != len(shape) for shape in found):
        raise ValueError("the index states a shape twice")
    return found


def _checksum(facts: dict[str, Any], columns: dict[str, NDArray[Any]]) -> int:
    crc = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name in _COLUMNS:
        crc = zlib.crc32(columns[name].data, crc)
    return crc
