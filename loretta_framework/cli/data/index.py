"""`loretta data index`."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loretta_framework.shards.index import ShardStore


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that read."
)
@click.option(
    "--anew", "again", is_flag=True, help="Read every shard again, and fetch those of URLs again."
)
def index(paths: tuple[str, ...], jobs: int, again: bool) -> None:
    """Index shards and show what their samples hold.

    PATHS are tars, folders, patterns, or URLs (http, https, s3, gs). A shard whose index is fresh
    is not read again, unless --anew is given: for shards that were changed on purpose.
    """
    from loretta_framework.shards.index import expand_paths, open_index

    anew: list[str] = []

    def progress(done: int, shards: int, location: str, read: bool) -> None:
        if read:
            anew.append(location)
            if shards > 1:
                click.echo(f"{done}/{shards} indexed {_name(location)}", err=True)

    found = open_index(expand_paths(paths, Path.cwd()), jobs, progress, again)
    fresh = len(found.locations) - len(anew)
    size = sum(index.fingerprint.size for index in found.indexes)
    click.echo(f"{len(found.locations)} shards, {len(found)} samples")
    for names, samples in _combinations(found):
        click.echo(f"{samples:8d}  {' + '.join(names)}")
    click.echo(f"{size} bytes; {len(anew)} shards read anew, {fresh} fresh")
    click.echo(f"content {found.digest}")
    _warn_of_unwritten(found)
    _publish(found, anew)


def _warn_of_unwritten(store: ShardStore) -> None:
    """Name the shards whose index is in this process's memory and nowhere else."""
    from loretta_framework.shards.remote.locations import is_url, shown

    for location, index in zip(store.locations, store.indexes, strict=True):
        if index.file is None:
            place = "in the local cache" if is_url(location) else "beside it"
            click.echo(
                f"warning: {shown(location)}: its index cannot be written {place}, so the whole shard "
                "is read again each time; make its folder writable, or copy the shard elsewhere",
                err=True,
            )


def _publish(store: ShardStore, anew: Container[str]) -> None:
    """Put indexes beside the shards of URLs, where that can be done, and say what happened."""
    from loretta_framework.shards.remote.locations import is_url

    for location, index in zip(store.locations, store.indexes, strict=True):
        file = index.file
        if not is_url(location) or file is None:
            continue
        from loretta_framework.shards.remote.copies import lacks_index, publish_index

        if location in anew or lacks_index(location):
            click.echo(f"{_name(location)}: {publish_index(location, file)}")


def _name(location: str) -> str:
    from loretta_framework.shards.remote.locations import shown

    return shown(location).rpartition("/")[2]


def _combinations(store: ShardStore) -> list[tuple[tuple[str, ...], int]]:
    """(modalities, samples) of each combination that occurs, most frequent first."""
    from collections import Counter

    import numpy as np

    from loretta_framework.shards.members import META, SEQUENCE, modality_of

    counts: Counter[tuple[str, ...]] = Counter()
    samples = np.bincount(store.shape_S, minlength=len(store.shapes))
    for shape, number in zip(store.shapes, samples.tolist(), strict=True):
        held = {modality_of(name) for name in shape if name not in (META, SEQUENCE)}
        counts[tuple(sorted(held))] += number
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
