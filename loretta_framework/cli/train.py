"""`loretta train`: execute a recipe."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe key.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Default: runs/<recipe name>.")
@click.option("--resume", is_flag=True, help="Go on with the run that is there.")
@click.option("--tiny", is_flag=True, help="Ten steps: does the recipe run here?")
def train(
    recipe: Path, overrides: tuple[str, ...], run_dir: Path | None, resume: bool, tiny: bool
) -> None:
    """Train the model that RECIPE describes."""
    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.recipe.override import TINY
    from loretta_framework.recipe.threads import set_thread_count

    own = {text.split("=", 1)[0] for text in overrides}
    reduced = [text for text in TINY if tiny and text.split("=", 1)[0] not in own]
    loaded = load_recipe(recipe, [*reduced, *overrides])
    set_thread_count(loaded.recipe)
    from loretta_framework.train.run import train as execute  # loads torch

    if tiny and run_dir is None:  # never among the steps of a real run
        run_dir = Path("runs") / f"{loaded.recipe.name}-tiny"
    run = execute(
        loaded, run_dir, resume=resume, say=lambda text: click.echo(f"  {text}", err=True)
    )
    click.echo(f"{run.steps} steps done; the run is in {run.directory}")
    click.echo(f"next: loretta evaluate {run.directory}")
