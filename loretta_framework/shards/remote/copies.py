"""Shards at URLs: whole copies in a bounded local cache, and their indexes.

A shard is fetched whole, once, whoever needs it: samples lie side by side, so single ranges would
cost an object store one request a member. All faults become `ShardError` (the URL or what lies
there) or `StorageError` (the way there).
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from loretta_framework.api.errors import ShardError, StorageError
from loretta_framework.shards.patterns import INDEX_SUFFIX
from loretta_framework.shards.remote.cache import (
    Cache,
    Entry,
    clear_old,
    forget,
    full_disk,
    locked,
    open_cache,
    reserve,
)
from loretta_framework.shards.remote.fetch import current_revision, download
from loretta_framework.shards.remote.locations import checked_url, is_url as is_url, shown
from loretta_framework.shards.remote.transport import Changed, Interrupted, Revision as Revision

CONNECTIONS = 16
"""Shards that are asked for at a time."""

MAX_INDEX_BYTES = 1 << 30

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

_CHANGES = 3
_OPENINGS = 10


def revision(url: str) -> Revision:
    """(size, mark) of the content that lies at the URL now.

    Raises:
        ShardError: the URL names nothing, may not be read, or its server gives no size.
        StorageError: the storage does not answer.
        MissingDependencyError: the package for such URLs is not installed.
    """
    return current_revision(checked_url(url))


def at_once(ask: Callable[[_Asked], _Answer], items: Sequence[_Asked]) -> list[_Answer]:
    """`ask(item)` of each item, `CONNECTIONS` at a time; the first error ends it."""
    if len(items) < 2:
        return [ask(item) for item in items]
    pool = ThreadPoolExecutor(min(CONNECTIONS, len(items)))
    try:
        return list(pool.map(ask, items))
    finally:
        pool.shutdown(cancel_futures=True)


def local_copy(url: str, pinned: Revision | None = None) -> Path:
    """A complete local copy of the shard, fetched unless the cache has it.

    It may be removed at any time to make room for other shards: open it by `open_shard`.

    Args:
        url: http, https, s3 or gs.
        pinned: the revision that an index was read for; without it the one that lies there now.

    Raises:
        ShardError: see `revision`; or the shard is no longer the pinned revision.
        StorageError: see `revision`; the download broke off, or the disk is full.
        InputError: the cache's variables are wrong, or the shard is larger than the whole cache.
        MissingDependencyError: see `revision`.
    """
    url, cache = checked_url(url), open_cache()
    for _ in range(_CHANGES):
        wanted = pinned or current_revision(url)
        entry = cache.entry(url, wanted)
        if entry.use():
            return entry.shard
        with locked(entry.shard.parent):
            clear_old(entry)
            if entry.use():  # another process fetched it while this one waited
                return entry.shard
            try:
                _fetch(cache, entry, url, wanted)
                return entry.shard
            except Changed as error:
                if pinned is not None:
                    raise _not_pinned(url) from error
    raise StorageError(
        f"the shard was changed {_CHANGES} times while it was fetched",
        where=shown(url),
        fix="wait until it is written; to replace a shard, write it under another name",
    )


def open_shard(url: str, pinned: Revision | None = None) -> int:
    """A descriptor of the local copy, to be closed by the caller; it stays readable when the copy
    is removed, and the cache removes shards that nobody has open first.

    Raises:
        ShardError, StorageError, InputError, MissingDependencyError: see `local_copy`.
    """
    for _ in range(_OPENINGS):
        path = local_copy(url, pinned)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)
    raise StorageError(
        "the cache removes shards faster than they can be opened",
        where=shown(url),
        fix="set LORETTA_CACHE_GB to at least the shards that all processes read at a time",
    )


def has_copy(url: str, found: Revision) -> bool:
    """Whether the cache holds this revision of the shard."""
    return open_cache().entry(checked_url(url), found).use()


def drop_copy(url: str) -> Revision:
    """Remove the copy and the index of a URL from the cache, and tell what lies there now.

    Raises:
        ShardError, StorageError, MissingDependencyError: see `revision`.
        InputError: the cache's variables are wrong.
    """
    url = checked_url(url)
    now = current_revision(url)
    forget(open_cache().entry(url, now))
    return now


def index_location(url: str, found: Revision) -> Path:
    """Where the index of this revision lies in the cache, or is to be written."""
    return open_cache().entry(checked_url(url), found).index


def fetch_index(url: str, found: Revision) -> Path | None:
    """Bring the index that lies beside the shard at its URL, or None when there is none.

    What it says has to be checked by the reader: it comes from where the shard comes from.

    Raises:
        StorageError: the storage does not answer, or the disk is full.
    """
    beside, place = _index_url(checked_url(url)), index_location(url, found)
    try:
        there = current_revision(beside)
        if not 0 < there.size <= MAX_INDEX_BYTES:
            return None
        with locked(place.parent):
            _write_aside(place, beside, there)
    except (ShardError, Changed):  # none there, or it is being written
        return None
    return place


def lacks_index(url: str) -> bool:
    """Whether the shard lies in an object store with no index beside it.

    Raises:
        StorageError: the storage does not answer.
    """
    url = checked_url(url)
    if url.startswith("http"):
        return False
    try:
        current_revision(_index_url(url))
    except ShardError:
        return True
    return False


def publish_index(url: str, index: Path) -> str:
    """Write an index beside its shard, so that others open the set without fetching shards.

    Returns:
        A sentence: where it lies now, or why it could not be written.
    """
    url = checked_url(url)
    beside = _index_url(url)
    if url.startswith("http"):
        return (
            f"the index stays in the local cache, since a web server takes no files; to share it, "
            f"copy {index} to {shown(beside)}"
        )
    from loretta_framework.shards.remote.buckets import put_object

    try:
        put_object(beside, index.read_bytes())
    except (ShardError, Interrupted) as error:
        what = error.what if isinstance(error, ShardError) else error
        return f"the index stays in the local cache: {shown(beside)} cannot be written ({what})"
    return f"the index lies at {shown(beside)}"


def _fetch(cache: Cache, entry: Entry, url: str, wanted: Revision) -> None:
    """Download into a part and rename it; nothing is left when that fails."""
    descriptor, part = reserve(cache, entry)

    def write(offset: int, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise full_disk(entry, error) from error

    try:
        download(url, wanted, write)
        try:
            os.fsync(descriptor)
            os.utime(part, ns=(time.time_ns(), 0))  # a constant: see `Entry.use`
            with locked(cache.root):  # who counts what is here must see one name or the other
                os.replace(part, entry.shard)
        except OSError as error:
            raise full_disk(entry, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _write_aside(place: Path, url: str, there: Revision) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix="index.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:

            def write(offset: int, data: bytes) -> None:
                file.seek(offset)
                file.write(data)

            download(url, there, write)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _index_url(url: str) -> str:
    path, question, query = url.partition("?") if url.startswith("http") else (url, "", "")
    return f"{path}{INDEX_SUFFIX}{question}{query}"


def _not_pinned(url: str) -> ShardError:
    return ShardError(
        "the shard was changed since its set was opened; samples of two versions are not mixed",
        where=shown(url),
        fix="start again; to replace a shard, write it under another name",
    )
