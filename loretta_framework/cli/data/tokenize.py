"""`loretta data tokenize`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the tokens."
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe key.")
def tokenize(recipe: Path, out: Path, workers: int, overrides: tuple[str, ...]) -> None:
    """Make the tokens of RECIPE's training sets once, for `--set data.tokens=DIR`.

    A start that was stopped goes on where it was.
    """
    from loretta_framework.data.tokens.tokenize import tokenize as make
    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.train.parts import Parts

    parts = Parts.build(load_recipe(recipe, overrides))
    settings = parts.loaded.recipe.data
    done = make(
        parts.plan,
        parts.modalities,
        out,
        workers=workers,
        max_bad_fraction=settings.max_bad_fraction,
        sources=parts.sources,
        start_method=settings.start_method,
        progress=_tell,
    )
    for name, values in done.figures.items():
        told = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        click.echo(f"fitted the tokenizer of {name}: {told}")
    for name, form in done.forms.items():
        why = ": it is augmented in training" if form == "copied" else ""
        if name in parts.plan.vocabulary.inputs:
            why = ": it is continuous, and its features are made in training"
        click.echo(f"{name}: {form}{why}")
    for name, samples in done.samples.items():
        click.echo(f"{samples:8d}  {name}")
    if done.bad:
        click.echo(f"{done.bad} samples left out, see {done.folder / 'quarantine.jsonl'}")
    click.echo(
        f"{done.made} shards made; next: loretta train {recipe} --set data.tokens={done.folder}"
    )


def _tell(done: int, of: int, shard: Path, now: bool) -> None:
    click.echo(f"  {done}/{of}  {shard}{'' if now else ' (kept)'}", err=True)
