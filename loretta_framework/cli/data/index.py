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
def index(paths: tuple[str, ...], jobs: int) -> None:
    """Index shards and show what their samples hold.

    PATHS are tars, folders, patterns, or URLs (http, https, s3, gs). A shard whose index is fresh
    is not read again.
    """
    from loretta_framework.shards.index import expand_shards, open_index

    patterns = [f"{path}/*.tar" if Path(path).is_dir() else path for path in paths]
    anew: list[str] = []

    def progress(done: int, shards: int, location: str, read: bool) -> None:
        if read:
            anew.append(location)
            if shards > 1:
                click.echo(f"{done}/{shards} indexed {_name(location)}", err=True)

    found = open_index(expand_shards(patterns, Path.cwd()), jobs, progress)
    fresh = len(found.locations) - len(anew)
    size = sum(index.fingerprint.size for index in found.indexes)
    click.echo(f"{len(found.locations)} shards, {len(found)} samples")
    for names, samples in _combinations(found):
        click.echo(f"{samples:8d}  {' + '.join(names)}")
    click.echo(f"{size} bytes; {len(anew)} shards read anew, {fresh} fresh")
    click.echo(f"content {found.digest}")
    _publish(found, anew)


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
