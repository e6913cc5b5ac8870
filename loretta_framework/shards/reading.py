"""Random access to members by offset, each checked against its checksum."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from loretta_framework.api.errors import DamagedSampleError as DamagedSampleError, ShardError
from loretta_framework.shards.index_header import Fingerprint
from loretta_framework.shards.remote.locations import indexing_anew, is_url, shown
from loretta_framework.shards.table import Extent

MAX_OPEN_FILES = 32


class ShardFiles:
    """The files of several shards, opened on first use in each process.

    Only `MAX_OPEN_FILES` stay open. A copy that was forked or pickled opens its own: it never
    shares a file with its parent. The shard of a URL is read from its local copy.

    Args:
        locations: absolute paths and URLs.
        fingerprints: what each was when it was indexed; of a URL no other revision is read.
    """

    def __init__(self, locations: Sequence[str], fingerprints: Sequence[Fingerprint]) -> None:
        self.locations, self.fingerprints = tuple(locations), list(fingerprints)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._process = os.getpid()

    def read(self, shard: int, extent: Extent, names: Callable[[], tuple[str, str]]) -> bytes:
        """The content of one member; `names` gives its key and local name, for messages.

        Raises:
            DamagedSampleError: the bytes are not those that were indexed.
            ShardError: the shard cannot be opened or read.
        """
        try:
            data = _pread(self._descriptor(shard), extent.offset, extent.size)
        except OSError as error:
            raise ShardError(
                f"the shard cannot be read: {error.strerror or error}",
                where=self._where(shard, *names()),
                fix="check that the file still exists and may be read",
            ) from error
        if len(data) != extent.size or zlib.crc32(data) != extent.crc32:
            key, member = names()
            raise DamagedSampleError(
                "the member is damaged: its bytes do not match the checksum of the index",
                member=member,
                where=self._where(shard, key, member),
                fix="copy the shard again; if it was changed on purpose: "
                + indexing_anew(self.locations[shard]),
            )
        return data

    def close(self) -> None:
        """Close this process's files; the next `read` opens them again."""
        if self._process == os.getpid():
            for descriptor in self._open.values():
                os.close(descriptor)
        self._open.clear()

    def _where(self, shard: int, key: str, member: str) -> str:
        return f"{shown(self.locations[shard])}, key '{key}', member '{member}'"

    def _descriptor(self, shard: int) -> int:
        if self._process != os.getpid():
            # The parent's descriptors work here too, but closing them is the parent's business.
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            if len(self._open) >= MAX_OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard], self.fingerprints[shard] = _opened(
                self.locations[shard], self.fingerprints[shard]
            )
        self._open.move_to_end(shard)
        return self._open[shard]

    def __reduce__(self) -> tuple[type[ShardFiles], tuple[Any, ...]]:
        return ShardFiles, (self.locations, self.fingerprints)

    def __del__(self) -> None:
        self.close()


def _opened(location: str, fingerprint: Fingerprint) -> tuple[int, Fingerprint]:
    """(descriptor, fingerprint as far as it is known now)."""
    if not is_url(location):
        return os.open(location, os.O_RDONLY), fingerprint
    from loretta_framework.shards.remote.indexes import open_indexed

    return open_indexed(location, fingerprint)


def _pread(descriptor: int, offset: int, size: int) -> bytes:
    """So many bytes, fewer only where the file ends: one call may give less on a network drive."""
    data = os.pread(descriptor, size, offset)
    while 0 < len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
