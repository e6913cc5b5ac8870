"""`loretta fit`: fit the tokenizers that learn, without training."""

from __future__ import annotations

from pathlib import Path

import click

from loretta_framework.api.errors import InputError


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe key.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Default: runs/<recipe name>-tokenizers."
)
def fit(recipe: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """Fit the tokenizers of RECIPE and show how well they fit."""
    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.train.run import fit as execute

    loaded = load_recipe(recipe, overrides)
    directory = out or Path("runs") / f"{loaded.recipe.name}-tokenizers"
    if (directory.parent / "plan.json").exists():
        raise InputError(
            "these tokenizers belong to a run, whose weights need them as they are",
            where=str(directory),
            fix="give another --out",
        )
    figures = execute(loaded, directory)
    for name, values in figures.items():
        told = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        click.echo(f"{name}: {told}")
    click.echo(f"written to {directory}" if figures else "no tokenizer of this recipe learns")
