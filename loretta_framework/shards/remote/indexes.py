"""Indexes of shards at URLs: from the cache, from beside the shard, or by fetching the shard."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from loretta_framework.shards.index_file import write_index
from loretta_framework.shards.remote.copies import (
    Revision,
    at_once,
    fetch_index,
    index_location,
    open_shard,
    revision,
)
from loretta_framework.shards.scan import scan_shard
from loretta_framework.shards.shard_index import ShardIndex, build_index, load_index
from loretta_framework.shards.table import Fingerprint, ShardTable

_ETAG = re.compile(r'(?:W/)?"[^"]*"')


def cached_indexes(urls: Sequence[str]) -> list[tuple[Revision, ShardIndex | None]]:
    """What lies at each URL now, and its index where the cache has one or can take one over.

    An index that lies beside the shard is taken when it states the shard's size, unless it was
    written for another content of the URL; see `_is_of`. What it says of each member is checked
    when that is read.

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.revision` and
            `remote.fetch_index`.
    """
    return at_once(_known, urls)


def index_url(url: str, now: Revision) -> tuple[ShardIndex, bool]:
    """(index of the shard at a URL, that the shard was read for it).

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.local_copy`.
    """

    def scan() -> tuple[Fingerprint, ShardTable]:
        descriptor = open_shard(url, now)  # by its path it might be removed before it is opened
        try:
            fingerprint, table = scan_shard(Path(f"/dev/fd/{descriptor}"), shown_as=url)
        finally:
            os.close(descriptor)
        return replace(fingerprint, revision=now.tag), table

    return build_index(index_location(url, now), scan), True


def _known(url: str) -> tuple[Revision, ShardIndex | None]:
    now = revision(url)
    index = _cached(url, now)
    if index is None and (published := fetch_index(url, now)) is not None:
        index = _published(published, now)
    return now, index


def _cached(url: str, now: Revision) -> ShardIndex | None:
    try:
        index = load_index(index_location(url, now))
    except (OSError, ValueError):
        return None
    same = (index.fingerprint.size, index.fingerprint.revision) == (now.size, now.tag)
    return index if same else None


def _published(place: Path, now: Revision) -> ShardIndex | None:
    """The index that was fetched, written again under the revision it is now known to be for."""
    with suppress(OSError, ValueError):
        index = load_index(place)
        if _is_of(index.fingerprint, now):
            fingerprint = replace(index.fingerprint, revision=now.tag)
            write_index(place, fingerprint, index.table)
            return load_index(place)
    return None


def _is_of(fingerprint: Fingerprint, now: Revision) -> bool:
    """Whether an index from beside a shard is one of what lies there now, as far as it can be told.

    A number is the time of change of the local file that the shard was uploaded from. Anything else
    is the mark of a URL: its ETag stays the same when a bucket is copied, its time does not.
    """
    stated = fingerprint.revision
    return fingerprint.size == now.size and (stated.isdigit() or _mark(stated) == _mark(now.tag))


def _mark(tag: str) -> str:
    match = _ETAG.match(tag)
    return match[0] if match else tag
