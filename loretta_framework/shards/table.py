"""What the index knows of one shard: columns, so that a million samples are a few arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
"""Members begin at multiples of this."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a member's content lies in its shard, in bytes, and its checksum."""

    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, eq=False)
class ShardTable:
    """The samples of one shard. S samples, M members, K bytes of keys.

    Attributes:
        shapes: distinct tuples of local member names, in the order of their first sample.
        keys_K: uint8, the keys' UTF-8 bytes end to end.
        key_ends_S: uint32, where each key ends in `keys_K`.
        key_hashes_S: uint64, see `api.keys.key_hash`.
        shape_S: uint32, each sample's entry in `shapes`.
        blocks_M: uint32, where each member's content begins, in units of `BLOCK` bytes.
        sizes_M: uint32, bytes of its content.
        crc32_M: uint32, checksum of its content.
    """

    shapes: tuple[tuple[str, ...], ...]
    keys_K: NDArray[np.uint8]
    key_ends_S: NDArray[np.uint32]
    key_hashes_S: NDArray[np.uint64]
    shape_S: NDArray[np.uint32]
    blocks_M: NDArray[np.uint32]
    sizes_M: NDArray[np.uint32]
    crc32_M: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.shape_S)

    @cached_property
    def first_S(self) -> NDArray[np.uint32]:  # noqa: N802 - an array carries its axes
        """uint32 (S,), number of each sample's first member."""
        counts = np.array([len(shape) for shape in self.shapes], dtype=np.uint32)[self.shape_S]
        first = np.cumsum(counts, dtype=np.uint32)
        first -= counts
        return first

    def key(self, sample: int) -> str:
        """The key of a sample."""
        start = int(self.key_ends_S[sample - 1]) if sample else 0
        return self.keys_K[start : int(self.key_ends_S[sample])].tobytes().decode("utf-8")

    def extent(self, member: int) -> Extent:
        """Where a member lies; members are counted over the shard."""
        return Extent(
            int(self.blocks_M[member]) * BLOCK, int(self.sizes_M[member]), int(self.crc32_M[member])
        )

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "shapes"}

    def require_sound(self, shard_size: int) -> None:
        """Check that every number in the columns can be used: the file may be a stranger's.

        Raises:
            ValueError: a column contradicts another one or the shard's size.
        """
        samples, members = len(self), len(self.blocks_M)
        per_sample = (self.key_ends_S, self.key_hashes_S)
        if not samples or any(len(column) != samples for column in per_sample):
            raise ValueError("the columns of the samples differ in length")
        if int(self.shape_S.max()) >= len(self.shapes):
            raise ValueError("a sample has a shape that is not there")
        lengths = np.array([len(shape) for shape in self.shapes], dtype=np.int64)
        counts = np.bincount(self.shape_S, minlength=len(self.shapes))
        if int(counts @ lengths) != members or not lengths.all():
            raise ValueError("the number of members is not that of the shapes")
        if len(self.sizes_M) != members or len(self.crc32_M) != members:
            raise ValueError("the columns of the members differ in length")
        ends = self.key_ends_S
        if not ends[0] or np.any(ends[1:] <= ends[:-1]) or int(ends[-1]) != len(self.keys_K):
            raise ValueError("the keys' ends are wrong")
        self._require_text()
        blocks = -(-shard_size // BLOCK)
        if int(self.blocks_M.max()) > blocks or int(self.sizes_M.max()) > shard_size:
            raise ValueError("a member lies beyond the end of the shard")
        stop = self.sizes_M // np.uint32(BLOCK) + self.blocks_M  # neither summand can overflow now
        if int(stop.max()) > blocks:
            raise ValueError("a member lies beyond the end of the shard")

    def _require_text(self) -> None:
        """The keys are UTF-8 and can be printed."""
        keys = self.keys_K
        if int(keys.min()) < 0x20:
            raise ValueError("a key holds a control character")
        if int(keys.max()) >= 0x80:
            keys.tobytes().decode("utf-8")
            if np.any((keys[self.key_ends_S[:-1]] & 0xC0) == 0x80):
                raise ValueError("a key begins within a character")


def equal_keys(hashes: NDArray[np.uint64], key: Callable[[int], str]) -> Iterator[tuple[int, int]]:
    """(first, later) positions of every key that occurs again, with nothing in memory but hashes.

    Args:
        hashes: of the keys; only where they agree are the keys themselves looked at.
        key: the key at a position.
    """
    ordered = np.sort(hashes)  # a third of the time of sorting with positions
    if not np.any(ordered[1:] == ordered[:-1]):
        return
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    stops = np.r_[starts[1:], len(ordered)]
    for group in np.flatnonzero(stops - starts > 1):
        seen: dict[str, int] = {}
        for position in order[starts[group] : stops[group]].tolist():
            first = seen.setdefault(key(position), position)
            if first != position:
                yield first, position
