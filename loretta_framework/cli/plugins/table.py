"""Records of plugins as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from loretta_framework.registry.records import PluginRecord

COLUMNS = ("name", "distribution", "version", "status", "cause")


def show(records: Sequence[PluginRecord], as_json: bool) -> None:
    """Print the records."""
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
