"""`loretta plugins list`."""

from __future__ import annotations

import click

from loretta_framework.cli.plugins.table import tables
from loretta_framework.registry.records import installed


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List installed plugins with the last verdict on each; imports none of them."""
    from loretta_framework.registry.verdicts import recall

    records = recall(installed())
    if as_json:
        import json

        click.echo(json.dumps([record.to_json() for record in records], indent=2))
        return
    click.echo(tables(records))
    if any(record.status == "unchecked" for record in records):
        click.echo("\nTry the unchecked ones with `loretta plugins doctor`.", err=True)
