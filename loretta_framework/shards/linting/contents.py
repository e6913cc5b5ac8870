"""What lies in shards, by checksum: keys and members of many samples in a few arrays.

N samples, M members. Equal contents are found by size and crc32 and then compared byte by byte:
among a million members of one size, two different ones with the same crc32 are to be expected.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loretta_framework.shards.remote.copies import is_url, open_shard

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member lies.

    Attributes:
        shard: path or URL.
        offset: first byte of its header.
        key: its sample's key.
        member: its local name.
        size: bytes.
        content: first byte of its content.
    """

    shard: str
    offset: int
    key: str
    member: str
    size: int
    content: int


class Contents:
    """A growing table of samples and their members."""

    def __init__(self) -> None:
        self.shards: list[str] = []
        self.keys: list[str] = []
        self.shard_N = array("L")
        self.first_N = array("L")
        self.names: dict[str, int] = {}
        self._listed: list[str] = []
        self.sample_M = array("L")
        self.name_M = array("L")
        self.header_M = array("Q")
        self.content_M = array("Q")
        self.size_M = array("Q")
        self.crc_M = array("L")

    def __len__(self) -> int:
        return len(self.sample_M)

    def add_sample(self, shard: str, key: str) -> None:
        """The members that follow are of this sample."""
        if not self.shards or self.shards[-1] != shard:
            self.shards.append(shard)
        self.keys.append(key)
        self.shard_N.append(len(self.shards) - 1)
        self.first_N.append(len(self))

    def add(self, name: str, header: int, content: int, size: int, crc32: int) -> None:
        """A member of the last sample."""
        self.sample_M.append(len(self.keys) - 1)
        number = self.names.setdefault(name, len(self.names))
        if number == len(self._listed):
            self._listed.append(name)
        self.name_M.append(number)
        self.header_M.append(header)
        self.content_M.append(content)
        self.size_M.append(size)
        self.crc_M.append(crc32)

    def place(self, member: int) -> Place:
        """Where a member lies."""
        sample = self.sample_M[member]
        return Place(
            self.shards[self.shard_N[sample]],
            self.header_M[member],
            self.keys[sample],
            self._listed[self.name_M[member]],
            self.size_M[member],
            self.content_M[member],
        )

    def first_header(self, sample: int) -> int | None:
        """First byte of the first header of a sample, None when it has no member."""
        first = self.first_N[sample]
        return self.header_M[first] if first < len(self) else None

    def members(self, of: Callable[[str], bool]) -> NDArray[np.int64]:
        """Numbers of the members whose local name `of` says yes to, in order."""
        wanted = np.array([of(name) for name in self._listed], bool)
        names_M = np.array(self.name_M, np.int64)
        return np.flatnonzero(wanted[names_M]) if len(names_M) else np.zeros(0, np.int64)

    def content_ids(self, members: NDArray[np.int64]) -> NDArray[np.uint64]:
        """uint64 of each: equal contents have equal numbers, others almost never."""
        sizes = np.array(self.size_M, np.uint64)[members]
        return (sizes << np.uint64(32)) ^ np.array(self.crc_M, np.uint64)[members]


def same_content(one: Place, other: Place) -> bool:
    """Whether two members hold the same bytes."""
    if one.size != other.size:
        return False
    first, second = _open(one.shard), _open(other.shard)
    try:
        pairs = zip(_chunks(first, one), _chunks(second, other), strict=True)
        return all(a == b for a, b in pairs)
    finally:
        os.close(first)
        os.close(second)


def content_of(place: Place) -> bytes:
    """The bytes of a member."""
    descriptor = _open(place.shard)
    try:
        return b"".join(_chunks(descriptor, place))
    finally:
        os.close(descriptor)


def _open(shard: str) -> int:
    return open_shard(shard) if is_url(shard) else os.open(Path(shard), os.O_RDONLY)


def _chunks(descriptor: int, place: Place) -> Iterator[bytes]:
    for start in range(0, place.size, _CHUNK):
        yield os.pread(descriptor, min(_CHUNK, place.size - start), place.content + start)
