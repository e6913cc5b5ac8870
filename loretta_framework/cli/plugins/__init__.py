"""`loretta plugins`: one file for each verb, imported when it is called."""

from __future__ import annotations

import click

from loretta_framework.cli.lazy import LazyGroup

VERBS = {
    "list": (
        "loretta_framework.cli.plugins.listing:list_",
        "List installed plugins with the last verdict on each.",
    ),
    "doctor": (
        "loretta_framework.cli.plugins.doctor:doctor",
        "Try each plugin in a process of its own.",
    ),
    "new": (
        "loretta_framework.cli.plugins.new:new",
        "Write a complete package for a modality, a backbone or an objective.",
    ),
}
"""See `lazy.Table`."""


@click.group(cls=LazyGroup, table=VERBS)
def plugins() -> None:
    """Show what is installed, find out what is broken, start a plugin of your own."""
