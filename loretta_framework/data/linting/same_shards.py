"""Whole shards that two splits share: nothing about their contents can make that right."""

from __future__ import annotations

import os
from collections.abc import Iterator

from loretta_framework.data.linting.set_contents import SetContents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.remote.locations import is_url

_FIX = "give each split shards of its own: a model must not be judged on what it saw"


def shared_shards(one: SetContents, other: SetContents) -> Iterator[Finding]:
    """Each shard of `other` that is one of `one`: the same file, or the same samples in a copy.

    Tables that a `RowSource` opened are compared by the digest of their files too: two sets that
    take different columns of one table hold the same rows.
    """
    places = {_resolved(shard) for shard in one.contents.shards}
    tables = one.tables()
    told = False
    for digest, shard in other.tables().items():
        if _resolved(shard) in places:
            what = f"{other.title} and {one.title} name the same shard"
        elif digest in tables:
            what = f"it holds the same samples under the same keys as {tables[digest]}"
            what += f", which is in {one.title}"
        else:
            continue
        told = True
        yield Finding("error", "leak", what, _FIX, shard, data_set=other.title)
    if not told and _digest(one) == _digest(other) != "":
        what = f"its tables are those of {one.title}, copied"
        yield Finding("error", "leak", what, _FIX, data_set=other.title)


def _digest(found: SetContents) -> str:
    return "" if found.store is None else found.store.digest


def _resolved(shard: str) -> str:
    return shard if is_url(shard) else os.path.realpath(shard)
