"""Indexes of shards at URLs: from the cache, from beside the shard, or by fetching the shard."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.index_file import write_index
from loretta_framework.shards.index_header import Fingerprint
from loretta_framework.shards.remote.cache import locked
from loretta_framework.shards.remote.copies import (
    Revision,
    at_once,
    drop_copy,
    fetch_index,
    has_copy,
    index_location,
    open_shard,
    revision,
)
from loretta_framework.shards.remote.locations import indexing_anew, shown
from loretta_framework.shards.scan import scan_shard
from loretta_framework.shards.shard_index import ShardIndex, build_index, load_index
from loretta_framework.shards.table import ShardTable

_ETAG = re.compile(r'(?:W/)?"[^"]*"')
_UNCHECKED = "unchecked\n"
"""Before the revision of an index that another place wrote, until the shard was read here. No server
can send such a mark: headers hold no line feed."""


def cached_indexes(urls: Sequence[str]) -> list[tuple[Revision, ShardIndex | None]]:
    """What lies at each URL now, and its index where the cache has one or can take one over.

    An index that lies beside the shard is taken when it states the shard's size, unless it was
    written for another content of the URL; see `_is_of`. Where its mark does not tell, it is
    compared with the shard as soon as that is fetched; see `open_indexed`.

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.revision` and
            `remote.fetch_index`.
    """
    return at_once(_known, urls)


def forgotten_indexes(urls: Sequence[str]) -> list[tuple[Revision, None]]:
    """As `cached_indexes` of URLs of which nothing is known: copies and indexes are dropped.

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.drop_copy`.
    """
    return [(now, None) for now in at_once(drop_copy, urls)]


def stated_index(url: str, now: Revision | None = None) -> ShardIndex | None:
    """The index that says what a URL holds, from the cache or from beside the shard.

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `cached_indexes`.
    """
    now = revision(url) if now is None else now
    index = _cached(url, now)
    if index is None and (published := fetch_index(url, now)) is not None:
        index = _published(published, now)
    return index


def open_indexed(url: str, fingerprint: Fingerprint) -> tuple[int, Fingerprint]:
    """(descriptor of the revision that an index is of, its fingerprint, which is now checked).

    Raises:
        ShardError: the index is of another content; the right one is made, for the next start.
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.open_shard`.
    """
    now = Revision(fingerprint.size, fingerprint.revision.removeprefix(_UNCHECKED))
    descriptor = open_shard(url, now)
    try:
        if _is_unchecked(fingerprint):
            _require_same(url, descriptor, now, fingerprint)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, replace(fingerprint, revision=now.tag)


def index_url(url: str, now: Revision) -> tuple[ShardIndex, bool]:
    """(index of the shard at a URL, that the shard was read for it).

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `remote.local_copy`.
    """

    def scan() -> tuple[Fingerprint, ShardTable]:
        descriptor = open_shard(url, now)  # by its path it might be removed before it is opened
        try:
            return _scanned(url, descriptor, now)
        finally:
            os.close(descriptor)

    before = _cached(url, now)
    index = build_index(index_location(url, now), scan)
    if before is not None and before.fingerprint.sha256 != index.fingerprint.sha256:
        what = "the index beside it is of another content, so the shard was indexed anew"
        print(f"{shown(url)}: {what}", file=sys.stderr)
    return index, True


def _known(url: str) -> tuple[Revision, ShardIndex | None]:
    now = revision(url)
    index = stated_index(url, now)
    if index is not None and _is_unchecked(index.fingerprint) and has_copy(url, now):
        return now, None  # the shard itself is here and says more
    return now, index


def _cached(url: str, now: Revision) -> ShardIndex | None:
    try:
        index = load_index(index_location(url, now))
    except (OSError, ValueError):
        return None
    of = index.fingerprint.size, index.fingerprint.revision.removeprefix(_UNCHECKED)
    return index if of == (now.size, now.tag) else None


def _scanned(url: str, descriptor: int, now: Revision) -> tuple[Fingerprint, ShardTable]:
    fingerprint, table = scan_shard(Path(f"/dev/fd/{descriptor}"), shown_as=url)
    return replace(fingerprint, revision=now.tag), table


def _is_unchecked(fingerprint: Fingerprint) -> bool:
    return fingerprint.revision.startswith(_UNCHECKED)


def _require_same(url: str, descriptor: int, now: Revision, stated: Fingerprint) -> None:
    """Index the shard, unless another process has, and compare it with the published index."""
    place = index_location(url, now)
    with locked(place.parent):
        index = _cached(url, now)
        if index is None or _is_unchecked(index.fingerprint):
            index = build_index(place, lambda: _scanned(url, descriptor, now))
    if index.fingerprint.sha256 != stated.sha256:
        raise ShardError(
            "the index beside the shard is of another content; the shard was indexed anew",
            where=shown(url),
            fix="start again, which takes the new index; to put it in the place of the old one: "
            + indexing_anew(url),
        )


def _published(place: Path, now: Revision) -> ShardIndex | None:
    """The index that was fetched, written again under the revision it is taken for."""
    with suppress(OSError, ValueError):
        index = load_index(place)
        stated = index.fingerprint
        if _is_of(stated, now):
            told = not stated.revision.isdigit() and stated.revision != ""
            mark = now.tag if told else f"{_UNCHECKED}{now.tag}"
            write_index(place, replace(stated, revision=mark), index.table)
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
