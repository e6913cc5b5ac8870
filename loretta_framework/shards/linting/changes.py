"""Members whose bytes are no longer those that were indexed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from loretta_framework.shards.index import fresh_index
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.remote.indexes import stated_index
from loretta_framework.shards.remote.locations import indexing_anew, is_url
from loretta_framework.shards.table import BLOCK


def changed_members(shard: str, contents: Contents, first: int) -> Iterator[Finding]:
    """Compare members with the checksums of the shard's index, if it has one.

    Args:
        shard: path or URL; the index of a URL lies in the cache or beside it.
        contents: what was read just now.
        first: number of the shard's first member there.
    """
    index = stated_index(shard) if is_url(shard) else fresh_index(Path(shard))
    if index is None or first == len(contents):
        return
    table = index.table
    blocks_M = np.array(contents.content_M[first:], np.uint64) // BLOCK
    found_M = np.searchsorted(table.blocks_M, blocks_M.astype(np.uint32))
    found_M = np.minimum(found_M, len(table.blocks_M) - 1)
    same_M = (
        (table.blocks_M[found_M] == blocks_M)
        & (table.sizes_M[found_M] == np.array(contents.size_M[first:], np.uint64))
        & (table.crc32_M[found_M] == np.array(contents.crc_M[first:], np.uint64))
    )
    for member in np.flatnonzero(~same_M):
        place = contents.place(first + int(member))
        yield Finding(
            "error",
            "changed-since-index",
            "its bytes are not those that were indexed: the shard was damaged or changed",
            f"copy the shard again; if it was changed on purpose: {indexing_anew(shard)}",
            shard,
            place.offset,
            place.key,
            place.member,
        )
