"""The index beside a shard: keys, member offsets, sizes and checksums, so that any sample is O(1).

`<shard>.index.json` is a cache: a missing, stale or unreadable one is built again. It counts as
fresh while the shard's size and modification time are those it was built from; content that
changed behind their back is caught by the checksums when it is read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from loretta_framework.shards.patterns import INDEX_SUFFIX
from loretta_framework.shards.patterns import expand_shards as expand_shards
from loretta_framework.shards.scan import Member as Member
from loretta_framework.shards.scan import SampleEntry as SampleEntry
from loretta_framework.shards.scan import scan_shard

FORMAT = 1
"""Version of the index file; another one is built again."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """What the index knows of one shard.

    Attributes:
        size: bytes of the shard when it was indexed.
        mtime_ns: its modification time then.
        sha256: hash of its content, in hexadecimal.
        samples: its samples in file order.
    """

    size: int
    mtime_ns: int
    sha256: str
    samples: tuple[SampleEntry, ...]


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Several shards seen as one sequence of samples.

    Attributes:
        shards: their paths, in order.
        entries: every sample; `entry.shard` is an index into `shards`.
        digest: hash of the contents in order, whatever the files are called.
    """

    shards: tuple[Path, ...]
    entries: Sequence[SampleEntry]
    digest: str


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(shard.name + INDEX_SUFFIX)


def open_index(shards: Sequence[Path]) -> ShardIndex:
    """The index of all shards, building what is missing or stale.

    Raises:
        ShardError: a shard is missing, empty, damaged or malformed.
    """
    entries: list[SampleEntry] = []
    digest = sha256()
    for number, shard in enumerate(shards):
        found = _fresh(shard) or index_shard(shard)
        digest.update(bytes.fromhex(found.sha256))
        entries += (
            [SampleEntry(sample.key, number, sample.members) for sample in found.samples]
            if number
            else found.samples
        )
    return ShardIndex(tuple(shards), tuple(entries), digest.hexdigest())


def index_shard(path: Path) -> ShardEntry:
    """Read the whole shard, check it, and write its index beside it.

    In a folder that cannot be written the index stays in memory: it is built again next time.

    Raises:
        ShardError: see `scan.scan_shard`.
    """
    before = path.stat() if path.exists() else None
    digest, samples = scan_shard(path)
    status = before or path.stat()
    entry = ShardEntry(status.st_size, status.st_mtime_ns, digest, samples)
    with suppress(OSError):
        _write(index_path(path), _to_json(entry))
    return entry


def _fresh(shard: Path) -> ShardEntry | None:
    try:
        status = shard.stat()
        entry = _from_json(json.loads(index_path(shard).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    same = (entry.size, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)
    return entry if same else None


def _to_json(entry: ShardEntry) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "sha256": entry.sha256,
        "samples": [
            [sample.key, [[m.name, m.offset, m.size, m.crc32] for m in sample.members]]
            for sample in entry.samples
        ],
    }


def _from_json(data: dict[str, Any]) -> ShardEntry:
    if data["format"] != FORMAT:
        raise ValueError(f"index format {data['format']}")
    bytes.fromhex(data["sha256"])
    samples = tuple(
        SampleEntry(
            str(key), 0, tuple(Member(str(n), int(o), int(s), int(c)) for n, o, s, c in members)
        )
        for key, members in data["samples"]
    )
    return ShardEntry(int(data["size"]), int(data["mtime_ns"]), data["sha256"], samples)


def _write(path: Path, data: dict[str, Any]) -> None:
    """Written aside under a name of its own and renamed: ranks may index one shard at once."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(data, file, separators=(",", ":"))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
