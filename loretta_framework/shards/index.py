"""The index beside each shard, so that any sample is reached without reading the others.

`<shard>.index.safetensors` is a cache: a missing, stale, damaged or foreign one is built again, and
the others are left as they are. It counts as fresh while the shard's size and modification time are
those it was built from; content that changed behind their back is caught by the checksums when it
is read, and indexed by `open_index(..., anew=True)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from loretta_framework.api.errors import LorettaError
from loretta_framework.shards.index_header import index_path as index_path
from loretta_framework.shards.patterns import (
    compressed_tars as compressed_tars,
    expand_paths as expand_paths,
    expand_shards as expand_shards,
)
from loretta_framework.shards.remote.locations import is_url
from loretta_framework.shards.scan import scan_shard
from loretta_framework.shards.shard_index import ShardIndex as ShardIndex, build_index, load_index
from loretta_framework.shards.store import ShardStore as ShardStore

if TYPE_CHECKING:
    from loretta_framework.shards.remote.copies import Revision

Progress: TypeAlias = Callable[[int, int, str, bool], None]
"""Told (shards done, shards, location, was it read anew) after each shard."""


def open_index(
    locations: Sequence[str | Path],
    jobs: int = 1,
    progress: Progress | None = None,
    anew: bool = False,
) -> ShardStore:
    """The samples of all shards, indexing those whose index is missing or stale.

    Args:
        locations: absolute paths and URLs, as `expand_shards` gives them.
        jobs: processes that index; 1 works in this one.
        progress: told of every shard.
        anew: read every shard, whatever its index says; of URLs what the cache holds is dropped, and
            an index beside the shard is left aside.

    Raises:
        ShardError: a shard is missing, empty, damaged or malformed.
        LorettaError: an indexing process died.
    """
    places = [str(location) for location in locations]
    found: dict[int, ShardIndex] = {}
    tasks: dict[int, _Task] = {}

    def add(number: int, index: ShardIndex, read: bool) -> None:
        found[number] = index
        if progress is not None:
            progress(len(found), len(places), places[number], read)

    for number, (task, known) in enumerate(_known(places, anew)):
        if known is None:
            tasks[number] = task
        else:
            add(number, known, False)
    for number, (index, read) in (_in_processes if jobs > 1 and len(tasks) > 1 else _here)(
        tasks, jobs
    ):
        add(number, index, read)
    return ShardStore(places, [found[number] for number in range(len(places))])


def index_shard(path: Path) -> ShardIndex:
    """Read the whole shard, check it, and write its index beside it.

    In a folder that cannot be written the index stays in memory: it is built again next time.

    Raises:
        ShardError: see `scan.scan_shard`.
    """
    return build_index(index_path(path), lambda: scan_shard(path))


def fresh_index(path: Path) -> ShardIndex | None:
    """The index beside a local shard, None when there is none that can be trusted."""
    try:
        status = path.stat()
        index = load_index(index_path(path))
    except (OSError, ValueError):
        return None
    return index if index.fingerprint.is_of(status) else None


_Task: TypeAlias = "tuple[str, Revision | None]"
"""What to index: a location, and what lies there now if it is a URL."""

_Found: TypeAlias = tuple[ShardIndex, bool]


def _known(places: Sequence[str], anew: bool) -> Iterator[tuple[_Task, ShardIndex | None]]:
    """Each shard's task, and its index where that is fresh and wanted."""
    urls = [place for place in places if is_url(place)]
    remote = _known_remote(urls, anew) if urls else {}
    for place in places:
        if place in remote:
            revision, index = remote[place]
            yield (place, revision), index
        else:
            yield (place, None), None if anew else fresh_index(Path(place))


def _known_remote(urls: Sequence[str], anew: bool) -> dict[str, tuple[Revision, ShardIndex | None]]:
    from loretta_framework.shards.remote import indexes  # needs optional packages

    known = indexes.forgotten_indexes(urls) if anew else indexes.cached_indexes(urls)
    return dict(zip(urls, known, strict=True))


def _here(tasks: Mapping[int, _Task], jobs: int) -> Iterator[tuple[int, _Found]]:
    for number, task in tasks.items():
        yield number, _indexed(task)


def _in_processes(tasks: Mapping[int, _Task], jobs: int) -> Iterator[tuple[int, _Found]]:
    """Spawned, since a fork of a process with threads may hang."""
    jobs = min(jobs, len(tasks))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_indexed, task): number for number, task in tasks.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise LorettaError(
                "a process that was indexing shards died",
                where=f"one of {len(tasks)} shards",
                fix="look for lack of memory, or index with --jobs 1 to see the fault",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _indexed(task: _Task) -> _Found:
    """(index of a shard, was the shard read for it)."""
    place, revision = task
    if revision is None:
        return index_shard(Path(place)), True
    from loretta_framework.shards.remote.indexes import index_url

    return index_url(place, revision)
