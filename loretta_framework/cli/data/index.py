"""`loretta data index`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loretta_framework.shards.index import ShardIndex


@click.command()
@click.argument("paths", nargs=-1, required=True)
def index(paths: tuple[str, ...]) -> None:
    """Index shards and show what their samples hold. PATHS are tars, folders or patterns."""
    from loretta_framework.shards.index import expand_shards, open_index

    patterns = [f"{path}/*.tar" if Path(path).is_dir() else path for path in paths]
    found = open_index(expand_shards(patterns, Path.cwd()))
    click.echo(f"{len(found.shards)} shards, {len(found.entries)} samples")
    for names, samples in _combinations(found):
        click.echo(f"{samples:8d}  {' + '.join(names)}")
    click.echo(f"content {found.digest}")


def _combinations(index: ShardIndex) -> list[tuple[tuple[str, ...], int]]:
    """(modalities, samples) of each combination that occurs, most frequent first."""
    from collections import Counter

    from loretta_framework.shards.members import META, SEQUENCE, modality_of

    counts = Counter(
        tuple(sorted({modality_of(m.name) for m in e.members if m.name not in (META, SEQUENCE)}))
        for e in index.entries
    )
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
