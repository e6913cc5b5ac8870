"""`loretta data`: make data sets and look at shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loretta_framework.shards.index import ShardIndex


@click.group()
def data() -> None:
    """Prepare, index, check and preview data sets."""


@data.command()
@click.argument("name")
@click.option("--source", type=click.Path(path_type=Path), help="Folder it is made from.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the shards."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Key of splits and pairings.")
def prepare(name: str, source: Path | None, out: Path, seed: int) -> None:
    """Build the shards of the data set NAME."""
    from loretta_framework.shards.prepare import prepare as build

    report = build(name, source, out, seed)
    for prefix, modalities, samples in report.sets:
        click.echo(f"{samples:8d}  {prefix:18s} {' + '.join(modalities)}")
    click.echo(f"{report.name} is in {report.out}")


@data.command()
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
