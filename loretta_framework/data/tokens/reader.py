"""Members of token shards, many at a time: mapped files, columns of the index, no object a member.

Axes: N samples asked for, S samples of the cache, M members.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import ShardError
from loretta_framework.api.protocols import IntArray
from loretta_framework.data.tokens.npy import HEADER_BYTES, token_dtype, tokens_in
from loretta_framework.sequence.vocabulary import Block
from loretta_framework.shards.store import ShardStore
from loretta_framework.shards.table import BLOCK

MAX_MAPS = 128
"""Token shards a process keeps mapped; each holds a file descriptor."""


class TokenFiles:
    """The members of a cache's shards. Survives fork and pickling.

    A shard is mapped on first use in each process. It must not be cut short while it is mapped:
    the system then ends the process (SIGBUS).
    """

    def __init__(self, store: ShardStore) -> None:
        self.store = store
        self._maps: dict[int, mmap.mmap] = {}

    @cached_property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        """starts of the shards; first member (S,); offset, size and checksum (M,)."""
        tables = [index.table for index in self.store.indexes]
        counts = np.cumsum([0, *(len(table.blocks_M) for table in tables)])
        first = [t.first_S.astype(np.int64) + n for t, n in zip(tables, counts, strict=False)]
        return (
            np.array(self.store.starts, np.int64),
            np.concatenate(first),
            np.concatenate([table.blocks_M for table in tables]),
            np.concatenate([table.sizes_M for table in tables]),
            np.concatenate([table.crc32_M for table in tables]),
        )

    @cached_property
    def _keys(self) -> tuple[bytes, IntArray]:
        """All keys end to end, and where each begins and ends: (S + 1,)."""
        tables = [index.table for index in self.store.indexes]
        lengths = [np.diff(table.key_ends_S, prepend=np.uint32(0)) for table in tables]
        ends = np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])
        return b"".join(table.keys_K.tobytes() for table in tables), ends

    def keys(self, samples_N: IntArray) -> list[str]:
        """Their keys."""
        text, ends = self._keys
        firsts, stops = ends[samples_N].tolist(), ends[samples_N + 1].tolist()
        return [text[a:b].decode() for a, b in zip(firsts, stops, strict=True)]

    def read(self, samples_N: IntArray, members: Sequence[int]) -> list[list[bytes]] | None:
        """The content of members of each sample, member by member; None if any is damaged.

        Args:
            samples_N: samples of one shape.
            members: counted within the shape.

        Raises:
            ShardError: a shard cannot be read, or is not as long as it was.
        """
        starts, first_S, blocks_M, sizes_M, crcs_M = self._columns
        shards_N = np.searchsorted(starts, samples_N, side="right") - 1
        maps, firsts_N = self._maps, first_S[samples_N]
        mapped = [maps.get(shard) or self._map(shard) for shard in shards_N.tolist()]
        found = []
        for member in members:
            members_N = firsts_N + member
            from_N = blocks_M[members_N].astype(np.int64) * BLOCK
            to_N = from_N + sizes_M[members_N]
            spans = zip(mapped, from_N.tolist(), to_N.tolist(), strict=True)
            files = [shard[first:stop] for shard, first, stop in spans]
            if list(map(crc32, files)) != crcs_M[members_N].tolist():
                return None
            found.append(files)
        return found

    def _map(self, shard: int) -> mmap.mmap:
        while len(self._maps) >= MAX_MAPS:
            del self._maps[next(iter(self._maps))]  # closed when its last user lets go of it
        path = Path(self.store.locations[shard])
        expected = self.store.indexes[shard].fingerprint.size
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != expected:
                    raise OSError(f"it must have {expected} bytes, but has {size}")
                found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ShardError(
                f"the token shard cannot be read: {error.strerror or error}",
                where=str(path),
                fix="make it again: loretta data tokenize <recipe> --out <folder>",
            ) from error
        self._maps[shard] = found
        return found

    def __getstate__(self) -> ShardStore:
        return self.store

    def __setstate__(self, store: ShardStore) -> None:
        self.__init__(store)  # type: ignore[misc]


class TokenColumn:
    """Turns the files of one modality into ids."""

    def __init__(self, block: Block) -> None:
        self.block, self.dtype = block, token_dtype(block.vocab_size)
        self._counts: dict[bytes, int] = {}

    def ids(self, files: Sequence[bytes]) -> list[IntArray]:
        """int64 (T,) of each file; they are views of one array.

        Raises:
            ValueError: a file does not hold tokens of this modality.
        """
        if len(set(map(len, files))) == 1 and len(files[0]) > HEADER_BYTES:
            # One run of bytes, of which numpy cuts the headers: no object for each file.
            joined = np.frombuffer(b"".join(files), np.uint8).reshape(len(files), -1)
            if (joined[:, :HEADER_BYTES] == joined[0, :HEADER_BYTES]).all():
                self._require_length(files[0])
                return list(self._wide(joined[:, HEADER_BYTES:].view(self.dtype)))
        counts = [self._require_length(data) for data in files]
        wide = self._wide(np.frombuffer(b"".join([d[HEADER_BYTES:] for d in files]), self.dtype))
        return [wide[first:stop] for first, stop in pairwise(accumulate(counts, initial=0))]

    def _wide(self, tokens: NDArray[Any]) -> IntArray:
        """int64, of the same shape."""
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.block.vocab_size:
            raise ValueError(f"its tokens must lie in 0..{self.block.vocab_size - 1}")
        return tokens.astype(np.int64)

    def _require_length(self, data: bytes) -> int:
        """The number of tokens of a file, which is as long as that asks."""
        header = data[:HEADER_BYTES]
        count = self._counts.get(header) or self._count(header)
        if len(data) != HEADER_BYTES + count * self.dtype.itemsize:
            raise ValueError(f"a file of {count} tokens cannot have {len(data)} bytes")
        return count

    def _count(self, header: bytes) -> int:
        count, block = tokens_in(header, self.dtype), self.block
        if not block.min_tokens <= count <= block.max_tokens:
            raise ValueError(
                f"it must have {block.min_tokens} to {block.max_tokens} tokens, but has {count}"
            )
        self._counts[header] = count
        return count
