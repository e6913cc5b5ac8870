"""`loretta plugins new`."""

from __future__ import annotations

import click


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a complete package for a plugin of your own."""
    raise NotImplementedError(name)
