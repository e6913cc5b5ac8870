"""`loretta plugins new`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from loretta_framework.testing.scaffold import KINDS, checked_name, write_package


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin brings.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to make.  [default: loretta-plugin-NAME]",
)
def new(name: str, kind: str, out: Path | None) -> None:
    """Write a complete package that brings a modality, a backbone or an objective.

    It works as it is: it has code, tests, a README, a recipe and samples to train on.
    """
    from loretta_framework.registry.discovery import BUNDLED
    from loretta_framework.registry.records import BUILTIN, installed

    taken = {plugin.record.name for plugin in installed()}
    checked = checked_name(name, (BUILTIN, *BUNDLED), taken)
    folder = out or Path(checked.distribution)
    write_package(kind, checked, folder)
    click.echo(f"wrote {folder}, which brings {_article(kind)} {kind}\n\nnext:")
    for step in (
        f"pip install --editable {shlex.quote(f'{folder}[test]')}",
        f"loretta plugins doctor {name}",
        f"pytest {shlex.quote(str(folder))}",
    ):
        click.echo(f"  {step}")
    click.echo(f"\n{folder / 'README.md'} tells what lies where, and how to train with it.")


def _article(kind: str) -> str:
    return "an" if kind == "objective" else "a"
