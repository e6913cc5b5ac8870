"""A group of commands that imports one only when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from loretta_framework.api.errors import nearest

Table = Mapping[str, tuple[str, str]]
"""Verb -> ("package.module:command", summary). The summary stands here so that `--help` imports no
verb."""


class LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is called.

    Args:
        table: the verbs, in the order in which they are shown.
    """

    def __init__(self, *args: Any, table: Table | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.table = dict(table or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb, None when there is none of that name."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the nearest one."""
        if args[0] not in self.table and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"unknown verb '{args[0]}'{nearest(args[0], list(self.table))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in self.table.items()])
