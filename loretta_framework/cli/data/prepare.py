"""`loretta data prepare`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option("--source", type=click.Path(path_type=Path), help="Folder it is made from.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the shards.")
@click.option("--seed", type=int, default=0, show_default=True, help="Key of splits and pairings.")
@click.option(
    "--set", "texts", multiple=True, metavar="KEY=VALUE", help="An option of NAME; see --options."
)
@click.option("--options", "show", is_flag=True, help="Show the options of NAME and exit.")
@click.option("--list", "names", is_flag=True, help="Show the data sets and exit.")
def prepare(
    name: str | None,
    source: Path | None,
    out: Path | None,
    seed: int,
    texts: tuple[str, ...],
    show: bool,
    names: bool,
) -> None:
    """Build the shards of the data set NAME, with their index and a data card."""
    if names:
        _show_names()
        return
    if name is None:
        raise click.UsageError("name a data set; `loretta data prepare --list` shows them")
    if show:
        _show_options(name)
        return
    if out is None:
        raise click.UsageError("add --out DIR, the folder for the shards")
    _build(name, source, out, seed, texts)


def _show_names() -> None:
    from loretta_framework.shards.prepare import PREPARERS

    width = max(map(len, PREPARERS))
    for name, (_, sentence) in PREPARERS.items():
        click.echo(f"{name:{width}s}  {sentence}")


def _show_options(name: str) -> None:
    from loretta_framework.shards.prepare import preparer
    from loretta_framework.shards.preparing.options import option_help

    found = option_help(preparer(name).Options)
    if not found:
        click.echo(f"{name} has no options")
        return
    formatter = click.HelpFormatter()
    formatter.write_dl(
        [
            (f"{option.name}={option.default}" if option.default else option.name, option.meaning)
            for option in found
        ]
    )
    click.echo(formatter.getvalue(), nl=False)


def _build(name: str, source: Path | None, out: Path, seed: int, texts: tuple[str, ...]) -> None:
    from loretta_framework.shards.prepare import parse, prepare as build

    options = parse(name, texts)
    report = build(name, source, out, seed, options, lambda line: click.echo(line, err=True))
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    for found in report.sets:
        for modalities, samples in found.combinations:
            click.echo(f"{samples:8d}  {found.name:18s} {' + '.join(modalities)}")
    click.echo(f"content {report.digest}")
    click.echo(f"{report.name} is in {report.out}")
