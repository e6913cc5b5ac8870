"""`loretta plugins doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import click

from loretta_framework.api.errors import EXIT_FAILURE
from loretta_framework.cli.plugins.conformance import Conformed, conform
from loretta_framework.cli.plugins.table import tables
from loretta_framework.registry.records import PluginRecord

SECONDS, KIT_SECONDS = 120.0, 900.0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--conformance", is_flag=True, help="Also run the conformance kit on each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Seconds that a plugin may take, and each kernel again.  [default: {SECONDS:g}; for the "
    f"conformance kit {KIT_SECONDS:g}]",
)
def doctor(names: Sequence[str], conformance: bool, as_json: bool, timeout_s: float | None) -> None:
    """Try each plugin in a process of its own, and each optional kernel that its components know.

    Exit code 1 when a plugin cannot be used, or fails a check of the kit. What was found is
    remembered for `loretta plugins list`. A kernel is optional: none changes the exit code.
    """
    from loretta_framework.registry.doctor import examine

    records = tuple(examine(names, timeout_s or SECONDS))
    if not as_json:
        click.echo(tables(records))
    conformed: dict[str, Conformed] = {}
    for record in records if conformance else ():
        if record.status == "ok":
            conformed[record.name] = conform(record.name, timeout_s or KIT_SECONDS)
            if not as_json:
                click.echo(f"\n{conformed[record.name]}")
    if as_json:
        click.echo(json.dumps([_plain(record, conformed) for record in records], indent=2))
    unusable = any(record.status not in ("ok", "disabled") for record in records)
    if unusable or any(result.failed for result in conformed.values()):
        sys.exit(EXIT_FAILURE)


def _plain(record: PluginRecord, conformed: Mapping[str, Conformed]) -> dict[str, object]:
    found = conformed.get(record.name)
    return {**record.to_json(), **({"conformance": found.to_json()} if found else {})}
