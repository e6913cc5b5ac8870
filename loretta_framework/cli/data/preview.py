"""`loretta data preview`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loretta_framework.api.errors import InputError

if TYPE_CHECKING:
    from loretta_framework.data.preview.samples import Sheet


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--recipe", type=click.Path(path_type=Path), help="Read and show by its modalities.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe key.")
@click.option(
    "--rows", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Samples a set."
)
@click.option("--html", type=click.Path(path_type=Path), help="Write a page instead.")
@click.option("--seed", type=click.IntRange(0), help="Draw the samples; default: evenly spread.")
def preview(
    paths: tuple[str, ...],
    recipe: Path | None,
    overrides: tuple[str, ...],
    rows: int,
    html: Path | None,
    seed: int | None,
) -> None:
    """Show some samples. PATHS are tars, folders, patterns or URLs.

    With a recipe its modalities read and show them; without PATHS those of all its sets.
    """
    if not paths and recipe is None:
        raise InputError("nothing to show was named", fix="name shards, or give --recipe R")
    sheets = list(_sheets(paths, recipe, overrides, rows, seed))
    if html is None:
        from rich.console import Console

        from loretta_framework.data.preview.terminal import print_sheets

        print_sheets(sheets, Console())
        return
    from loretta_framework.api.atomic import write_bytes_atomically
    from loretta_framework.data.preview.html import page

    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(html, page(_title(paths, recipe), sheets).encode())
    except OSError as error:
        raise InputError(
            f"the page cannot be written: {error.strerror or error}",
            where=str(html),
            fix="give another --html",
        ) from error
    click.echo(f"{sum(len(sheet.cards) for sheet in sheets)} samples in {html}")


def _sheets(
    paths: tuple[str, ...],
    recipe: Path | None,
    overrides: tuple[str, ...],
    rows: int,
    seed: int | None,
) -> Iterator[Sheet]:
    from loretta_framework.shards.index import expand_paths, open_index

    shards = expand_paths(paths, Path.cwd()) if paths else None
    if recipe is not None:
        from loretta_framework.data.preview.by_recipe import recipe_sheets
        from loretta_framework.recipe.load import load_recipe

        loaded = load_recipe(recipe, overrides)
        yield from recipe_sheets(loaded, shards, rows, seed)
        return
    from loretta_framework.data.preview.samples import sheet_of_shards

    yield sheet_of_shards(_title(paths, None), open_index(shards or ()), rows, seed)


def _title(paths: tuple[str, ...], recipe: Path | None) -> str:
    return ", ".join(paths) or str(recipe)
