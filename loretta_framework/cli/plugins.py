"""`loretta plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import click

from loretta_framework.api.errors import EXIT_FAILURE
from loretta_framework.registry.records import PluginRecord, installed

COLUMNS = ("name", "distribution", "version", "status", "cause")


@click.group()
def plugins() -> None:
    """Show what is installed, and find out what is broken."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List installed plugins with the last verdict on each; imports none of them."""
    from loretta_framework.registry.verdicts import recall

    records = recall(installed())
    _show(records, as_json)
    if not as_json and any(record.status == "unchecked" for record in records):
        click.echo("\nTry the unchecked ones with `loretta plugins doctor`.", err=True)


@plugins.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds a plugin may take.",
)
def doctor(names: Sequence[str], as_json: bool, timeout_s: float) -> None:
    """Try each plugin in a process of its own; exit code 1 when one cannot be used."""
    from loretta_framework.registry.doctor import examine

    records = tuple(examine(names, timeout_s))
    _show(records, as_json)
    if any(record.status not in ("ok", "disabled") for record in records):
        sys.exit(EXIT_FAILURE)


def _show(records: Sequence[PluginRecord], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([record.to_json() for record in records], indent=2))
    else:
        click.echo("\n".join(_table(records)))


def _table(records: Iterable[PluginRecord]) -> Iterable[str]:
    rows = [COLUMNS, *((r.name, r.distribution, r.version, r.status, _cause(r)) for r in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _cause(record: PluginRecord) -> str:
    cause = f"{record.cause} ({record.place})" if record.place else record.cause
    return "; ".join(filter(None, [cause, f"note: {record.note}" if record.note else ""]))
