"""Reads a whole shard once: samples, offsets, checksums; anything doubtful is a fault.

The stock readers join members of a key that lie apart into partial samples, take dots in keys for
extensions, and run code from some of them. Nothing is ever extracted to disk.
"""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from loretta_framework.api.errors import ShardError
from loretta_framework.api.keys import key_hash
from loretta_framework.shards.index_header import Fingerprint
from loretta_framework.shards.members import MemberName, MemberNameError, parse_member
from loretta_framework.shards.remote.locations import shown
from loretta_framework.shards.table import BLOCK, ShardTable, equal_keys
from loretta_framework.shards.walk import Fault, Header, walk

MAX_SAMPLE_MEMBERS = 10_000
MAX_NAMES = 1 << 16
"""Distinct local names in a shard."""

MAX_SHAPE_NAMES = 1 << 20
"""Names over all distinct shapes of a shard; what tells samples apart stays in memory."""

MAX_KEY_BYTES = 1 << 28
"""Bytes of all keys of a shard."""

_CHUNK = 1 << 20
_FIX_NAME = "name members <key>.<modality>[.<number>].<extension>, and leave pickles out"
_FIX_SPLIT = "write several shards, each with samples of one kind"


def scan_shard(path: Path, shown_as: str = "") -> tuple[Fingerprint, ShardTable]:
    """What the shard is and holds. Its bytes are read once.

    Args:
        path: of a local file.
        shown_as: what it is called in messages, when that is not its path.

    Raises:
        ShardError: the shard is missing, empty, truncated, changes while it is read, or holds what
            must not be in it.
    """

    place = shown(shown_as) or str(path)

    def refuse(fault: Fault) -> None:
        raise fault.error(place)

    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            digest, table = examine(file, before.st_size, refuse)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ShardError(
            f"the shard cannot be read: {error.strerror or error}",
            where=place,
            fix="check that the file exists and may be read",
        ) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ShardError(
            "the shard changed while it was read", where=place, fix="wait until it is written"
        )
    return Fingerprint(before.st_size, str(before.st_mtime_ns), digest), table


def examine(file: BinaryIO, end: int, report: Callable[[Fault], None]) -> tuple[str, ShardTable]:
    """(sha256 of the file, its samples), telling of every fault.

    The table holds what is not at fault; it can be used when nothing was reported.

    Args:
        file: at its first byte.
        end: its length in bytes.
        report: told of each fault in file order; keys that lie apart are told of at the end.
    """
    tape = _HashedFile(file)
    scan = _Scan(tape, report)
    for found in walk(tape, end):
        if isinstance(found, Fault):
            report(found)
        else:
            scan.add(found)
    table = scan.finish()
    if end and not len(table):
        report(Fault("empty", "the shard is empty", "write it again, or leave it out", 0))
    return tape.sha256.hexdigest(), table


class _HashedFile:
    """Reads forward and sees every byte, so that the hash needs no second pass."""

    def __init__(self, file: BinaryIO) -> None:
        self.sha256 = sha256()
        self._file, self._at = file, 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._at += len(data)
        self.sha256.update(data)
        return data

    def seek(self, offset: int, /) -> int:
        while self._at < offset and self.read(min(offset - self._at, _CHUNK)):
            pass
        return self._at

    def crc32(self, size: int) -> int:
        """Checksum of the next bytes; short when the file ends, which the walk then finds."""
        crc = 0
        while size and (chunk := self.read(min(size, _CHUNK))):
            crc, size = zlib.crc32(chunk, crc), size - len(chunk)
        return crc


class _Scan:
    """Groups members into samples."""

    def __init__(self, tape: _HashedFile, report: Callable[[Fault], None]) -> None:
        self.tape, self.report = tape, report
        self.key = ""
        self.names: dict[str, None] = {}  # of the sample in progress, in file order
        self.known: dict[str, str] = {}  # local name -> the one string that stands for it
        self.shapes: dict[tuple[str, ...], int] = {}
        self.shape_names = 0
        self.keys = bytearray()
        self.key_ends, self.shape = array("I"), array("I")
        self.key_hashes = array("Q")
        self.blocks, self.sizes, self.crc32 = array("I"), array("I"), array("I")

    def add(self, header: Header) -> None:
        """Take the member whose content begins where the tape stands."""
        try:
            name = parse_member(header.name)
        except MemberNameError as error:
            self._fault(header, error.code, str(error), _FIX_NAME)
            return
        if name.key != self.key:
            self._close()
            self.key = name.key
        elif name.local in self.names:
            what = f"key '{name.key}' holds '{name.local}' twice"
            self._fault(header, "twice", what, "number them: image.0, image.1")
            return
        if self._too_much(header, name):
            return
        self.names[self.known.setdefault(name.local, name.local)] = None
        self.blocks.append(header.offset // BLOCK)
        self.sizes.append(header.size)
        self.crc32.append(self.tape.crc32(header.size))

    def finish(self) -> ShardTable:
        """The table of all that was added."""
        self._close()
        table = ShardTable(
            tuple(self.shapes),
            np.frombuffer(self.keys, np.uint8),
            np.frombuffer(self.key_ends, np.uint32),
            np.frombuffer(self.key_hashes, np.uint64),
            np.frombuffer(self.shape, np.uint32),
            np.frombuffer(self.blocks, np.uint32),
            np.frombuffer(self.sizes, np.uint32),
            np.frombuffer(self.crc32, np.uint32),
        )
        for fault in _apart(table):
            self.report(fault)
        return table

    def _close(self) -> None:
        """End the sample in progress."""
        if not self.names:
            return
        names = tuple(self.names)
        number = self.shapes.get(names)
        if number is None:
            number = self.shapes[names] = len(self.shapes)
            self.shape_names += len(names)
        key = self.key.encode("utf-8")
        self.keys += key
        self.key_ends.append(len(self.keys))
        self.key_hashes.append(key_hash(key))
        self.shape.append(number)
        self.names = {}

    def _too_much(self, header: Header, name: MemberName) -> bool:
        """Hold what is kept in memory within bounds, whatever the shard says."""
        if len(self.names) >= MAX_SAMPLE_MEMBERS:
            what = f"a sample may have at most {MAX_SAMPLE_MEMBERS} members"
        elif name.local not in self.known and len(self.known) >= MAX_NAMES:
            what = f"a shard may hold at most {MAX_NAMES} different names of members"
        elif self.shape_names > MAX_SHAPE_NAMES:
            what = "the samples of a shard have too many different sets of members"
        elif len(self.keys) > MAX_KEY_BYTES:
            what = f"the keys of a shard may have at most {MAX_KEY_BYTES} bytes together"
        else:
            return False
        self._fault(header, "too-many", what, _FIX_SPLIT)
        return True

    def _fault(self, header: Header, code: str, what: str, fix: str) -> None:
        self.report(Fault(code, what, fix, header.start, header.name))


def _apart(table: ShardTable) -> Iterator[Fault]:
    """Keys that come again after others. Found by hash at the end: a set of a million keys would
    take a hundred megabytes while the shard is read.
    """
    for _, sample in equal_keys(table.key_hashes_S, table.key):
        key, member = table.key(sample), int(table.first_S[sample])
        yield Fault(
            "apart",
            f"the members of key '{key}' must lie side by side, but others lie between",
            "write the shard sorted by key (tar --sort=name)",
            (int(table.blocks_M[member]) - 1) * BLOCK,
            f"{key}.{table.shapes[int(table.shape_S[sample])][0]}",
        )
