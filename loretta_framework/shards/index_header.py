"""The header of an index file, read and checked without numpy.

The file is safetensors: an 8-byte length, a JSON header, and the columns' bytes end to end. The
metadata's one entry is JSON: format, size, revision, sha256, names and shapes, and a checksum over
all of it and the columns.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from loretta_framework.shards.members import parse_local
from loretta_framework.shards.patterns import INDEX_SUFFIX

FORMAT = 2
"""Version of the index file; another one is built again."""

MAX_HEADER_BYTES = 16 << 20

ENTRY = "loretta-index"

KINDS = {
    "key_hashes_S": ("U64", 8),
    "key_ends_S": ("U32", 4),
    "shape_S": ("U32", 4),
    "blocks_M": ("U32", 4),
    "sizes_M": ("U32", 4),
    "crc32_M": ("U32", 4),
    "keys_K": ("U8", 1),
}
"""Column -> (type, bytes of a number), in the order in which they lie: each begins where its numbers
may."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a shard was when it was indexed.

    Attributes:
        size: bytes.
        revision: of a file its modification time in ns, of a URL what the server calls its version.
        sha256: of its contents, in hexadecimal.
    """

    size: int
    revision: str
    sha256: str

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a local shard is what it was, by size and modification time."""
        return (self.size, self.revision) == (status.st_size, str(status.st_mtime_ns))


def contents_digest(fingerprints: Iterable[Fingerprint]) -> str:
    """Hash of the contents of shards in order, whatever they are called, in hexadecimal."""
    digest = sha256()
    for fingerprint in fingerprints:
        digest.update(bytes.fromhex(fingerprint.sha256))
    return digest.hexdigest()


def index_path(shard: str | Path) -> Path:
    """Where the index of a local shard lies."""
    path = Path(shard)
    return path.with_name(path.name + INDEX_SUFFIX)


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index file, its checksum verified. S samples.

    Attributes:
        fingerprint: of the shard.
        shapes: distinct tuples of local member names, in the order of their first sample.
        columns: name -> its bytes, mapped from the file.
    """

    fingerprint: Fingerprint
    shapes: tuple[tuple[str, ...], ...]
    columns: dict[str, memoryview]


def open_index_file(file: Path) -> IndexFile:
    """Map the file and check all that can be checked without looking at single samples.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another format, or no index.
    """
    header, data = _mapped(file)
    try:
        facts = json.loads(header.pop("__metadata__")[ENTRY])
        stated = facts.pop("crc32")
        if facts["format"] != FORMAT:
            raise ValueError("the index has another format")
        columns = {name: _column(name, header.pop(name), data) for name in KINDS}
        if header or stated != checksum(facts, columns):
            raise ValueError("the index is damaged")
        fingerprint = Fingerprint(
            int(facts["size"]), str(facts["revision"]), bytes.fromhex(facts["sha256"]).hex()
        )
        return IndexFile(fingerprint, _shapes(facts["names"], facts["shapes"]), columns)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"the index is malformed: {error}") from error


def checksum(facts: dict[str, Any], columns: dict[str, memoryview]) -> int:
    """Over the facts and all columns in order."""
    crc = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name in KINDS:
        crc = zlib.crc32(columns[name], crc)
    return crc


def _mapped(file: Path) -> tuple[dict[str, Any], memoryview]:
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
        data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    return header, data[8 + length :]


def _column(name: str, stated: Any, data: memoryview) -> memoryview:
    kind, width = KINDS[name]
    (start, stop), (length,) = stated["data_offsets"], stated["shape"]
    whole = all(type(number) is int and number >= 0 for number in (start, stop, length))
    if stated["dtype"] != kind or not whole or stop - start != length * width:
        raise ValueError(f"the index's column {name} has another form")
    if stop > len(data):
        raise ValueError("the index is cut off")
    return data[start:stop]


def _shapes(names: Any, shapes: Any) -> tuple[tuple[str, ...], ...]:
    for name in names:
        parse_local(name)
    found = tuple(tuple(names[number] for number in shape) for shape in shapes)
    if len(set(found)) != len(found) or any(len(set(shape)) != len(shape) for shape in found):
        raise ValueError("the index states a shape twice")
    return found
