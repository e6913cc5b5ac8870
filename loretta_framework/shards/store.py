"""Several shards as one sequence of samples: the `SampleStore` over tars."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.shards.index_header import contents_digest
from loretta_framework.shards.reading import ShardFiles
from loretta_framework.shards.remote.locations import shown
from loretta_framework.shards.shard_index import ShardIndex
from loretta_framework.shards.table import Extent


class ShardStore:
    """Samples of shards by number, in the order of the shards and of their files.

    Survives fork and pickling. What it keeps per sample are columns of the index files, mapped into
    memory and shared by all processes.

    Args:
        locations: absolute paths and URLs of the shards.
        indexes: the index of each.

    Attributes:
        locations: as given.
        shapes: see `api.protocols.SampleStore`, as the others here.
        shape_S: uint32 (S,).
        starts: number of each shard's first sample.
        digest: hash of the shards' contents in order, whatever they are called.
    """

    def __init__(self, locations: Sequence[str], indexes: Sequence[ShardIndex]) -> None:
        self.locations = tuple(locations)
        self.indexes = tuple(indexes)
        self.shapes: Sequence[tuple[str, ...]]
        self.shapes, self.shape_S = _joined(self.indexes)
        lengths = [len(index.table) for index in self.indexes]
        self.starts: Sequence[int] = tuple(accumulate(lengths, initial=0))[:-1]
        fingerprints = [index.fingerprint for index in self.indexes]
        self.digest = contents_digest(fingerprints)
        self._files = ShardFiles(self.locations, fingerprints)

    def __len__(self) -> int:
        return len(self.shape_S)

    def key(self, sample: int) -> str:
        """Its key, unique within the shard."""
        shard, local = self._at(sample)
        return self.indexes[shard].table.key(local)

    def key_hashes(self) -> NDArray[np.uint64]:
        """(S,) 64-bit hashes of the keys: equal keys have equal hashes."""
        return _concatenated([index.table.key_hashes_S for index in self.indexes], np.uint64)

    def shard(self, sample: int) -> int:
        """Number of the shard that a sample lies in, an index into `locations`."""
        return self._at(sample)[0]

    def place(self, sample: int) -> str:
        """The shard's path, or its URL without what must not be printed."""
        return shown(self.locations[self.shard(sample)])

    def members(self, sample: int) -> tuple[str, ...]:
        """The local names of its members, in file order."""
        return self.shapes[int(self.shape_S[sample])]

    def size(self, sample: int, member: int) -> int:
        """Bytes of a member, known without reading it. `member` counts within the shape."""
        return self._extent(sample, member)[1].size

    def offset(self, sample: int, member: int) -> int:
        """First byte of a member's content in its shard."""
        return self._extent(sample, member)[1].offset

    def read(self, sample: int, member: int) -> bytes:
        """The bytes of a member, checked against what was indexed.

        Raises:
            DamagedSampleError: the bytes are not those that were indexed.
            ShardError: the shard cannot be opened or read.
        """
        shard, extent = self._extent(sample, member)
        # Keys are decoded from the index for messages only.
        return self._files.read(
            shard, extent, lambda: (self.key(sample), self.members(sample)[member])
        )

    def close(self) -> None:
        """Close the files that this process opened; the next `read` opens them again."""
        self._files.close()

    def _at(self, sample: int) -> tuple[int, int]:
        """(shard, number of the sample within it)."""
        if not 0 <= sample < len(self.shape_S):
            raise IndexError(f"sample {sample} of {len(self.shape_S)}")
        shard = bisect_right(self.starts, sample) - 1
        return shard, sample - self.starts[shard]

    def _extent(self, sample: int, member: int) -> tuple[int, Extent]:
        """(shard, where the member lies in it)."""
        shard, local = self._at(sample)
        if not 0 <= member < len(self.members(sample)):
            raise IndexError(f"member {member} of {len(self.members(sample))}")
        index = self.indexes[shard]
        return shard, index.table.extent(int(index.table.first_S[local]) + member)

    def __reduce__(self) -> tuple[type[ShardStore], tuple[Any, ...]]:
        return ShardStore, (self.locations, self.indexes)


def _joined(
    indexes: Sequence[ShardIndex],
) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.uint32]]:
    """(distinct shapes of all shards in order of appearance, each sample's entry in them)."""
    shapes: dict[tuple[str, ...], int] = {}
    columns = []
    for index in indexes:
        numbers = [shapes.setdefault(shape, len(shapes)) for shape in index.table.shapes]
        same = numbers == list(range(len(numbers)))
        own = index.table.shape_S
        columns.append(own if same else np.array(numbers, dtype=np.uint32)[own])
    return tuple(shapes), _concatenated(columns, np.uint32)


def _concatenated(columns: Sequence[NDArray[np.generic]], dtype: type) -> NDArray:  # type: ignore[type-arg]
    """One column; a single one stays where it is, on disk."""
    if len(columns) == 1:
        return columns[0]
    return np.concatenate([np.empty(0, dtype), *columns], dtype=dtype)
