"""The command line reference, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from loretta_framework.cli.main import cli


def pages() -> Iterator[tuple[str, str]]:
    """One page."""
    yield "reference/cli.md", "\n".join(_page())


def _page() -> Iterator[str]:
    yield "# Command line\n"
    yield (
        "Exit codes: 0 done, 2 your mistake (one message: what, where, how to mend), 1 an operational "
        "failure, 75 stopped on request with state saved, 130 interrupted.\n"
    )
    yield from _options(cli, click.Context(cli, info_name="loretta"))
    yield from _verbs(cli, click.Context(cli, info_name="loretta"), 2)


def _verbs(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        yield f"{'#' * level} {inner.command_path}\n"
        yield f"{' '.join((command.help or '').split())}\n"
        if isinstance(command, click.Group):
            yield from _verbs(command, inner, level + 1)
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield f"```text\n{inner.command_path} {usage}\n```\n"
        yield from _options(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    kept = [row for row in rows if row is not None]
    if not kept:
        return
    yield "| option | meaning |"
    yield "|---|---|"
    for option, text in kept:
        yield f"| `{_cell(option)}` | {_cell(text).replace('[', chr(92) + '[')} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
