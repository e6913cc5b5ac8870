"""`loretta data prepare`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
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
