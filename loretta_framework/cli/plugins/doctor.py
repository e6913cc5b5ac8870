"""`loretta plugins doctor`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from loretta_framework.api.errors import EXIT_FAILURE
from loretta_framework.cli.plugins.table import show


@click.command()
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
    show(records, as_json)
    if any(record.status not in ("ok", "disabled") for record in records):
        sys.exit(EXIT_FAILURE)
