"""Random access to members by offset, each checked against its checksum."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from loretta_framework.api.errors import DamagedSampleError as DamagedSampleError
from loretta_framework.api.errors import ShardError
from loretta_framework.shards.scan import Member, SampleEntry

MAX_OPEN_FILES = 32


class MemberReader:
    """Reads members of the shards of one index.

    Files are opened on first use in each process, and only `MAX_OPEN_FILES` stay open. A copy that
    was forked or pickled opens its own: it never shares a file with its parent.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = tuple(shards)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._process = os.getpid()

    def read(self, entry: SampleEntry, member: Member) -> bytes:
        """The content of one member.

        Raises:
            DamagedSampleError: the bytes are not those that were indexed.
            ShardError: the shard cannot be opened or read.
        """
        path = self.shards[entry.shard]
        try:
            data = os.pread(self._descriptor(entry.shard), member.size, member.offset)
        except OSError as error:
            raise ShardError(
                f"the shard cannot be read: {error.strerror or error}",
                where=f"{path}, key '{entry.key}', member '{member.name}'",
                fix="check that the file still exists and may be read",
            ) from error
        if len(data) != member.size or zlib.crc32(data) != member.crc32:
            raise DamagedSampleError(
                "the member is damaged: its bytes do not match the checksum of the index",
                member=member.name,
                where=f"{path}, key '{entry.key}', member '{member.name}'",
                fix="copy the shard again; if it was changed on purpose: loretta data index <shard>",
            )
        return data

    def close(self) -> None:
        """Close this process's files; the next `read` opens them again."""
        if self._process == os.getpid():
            for descriptor in self._open.values():
                os.close(descriptor)
        self._open.clear()

    def _descriptor(self, shard: int) -> int:
        if self._process != os.getpid():
            # The parent's descriptors work here too, but closing them is the parent's business.
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            if len(self._open) >= MAX_OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = os.open(self.shards[shard], os.O_RDONLY)
        self._open.move_to_end(shard)
        return self._open[shard]

    def __getstate__(self) -> tuple[Path, ...]:
        return self.shards

    def __setstate__(self, shards: tuple[Path, ...]) -> None:
        self.shards, self._open, self._process = shards, OrderedDict(), os.getpid()

    def __del__(self) -> None:
        self.close()
