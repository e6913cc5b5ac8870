"""`loretta recipe`: list, check, show, explain, draw and complete recipes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from loretta_framework.recipe.load import LoadedRecipe
    from loretta_framework.recipe.nodes import Components
    from loretta_framework.recipe.plan import Plan
    from loretta_framework.registry import Registry

FORMATS = ("text", "mermaid", "svg")

Command = Callable[..., Any]


def with_overrides(command: Command) -> Command:
    """Add `--set key=value`, which may be given several times."""
    option = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value."
    )
    return option(command)


def with_output(command: Command) -> Command:
    """Add `--out FILE`."""
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--out", type=path, help="Write to this file.")(command)


RECIPE = click.argument("recipe_file", metavar="RECIPE", type=click.Path(path_type=Path))


@click.group()
def recipe() -> None:
    """List, check, show and explain recipes."""


@recipe.command("list")
@click.argument("directory", type=click.Path(path_type=Path), default=Path("recipes"))
def list_(directory: Path) -> None:
    """List the recipes of a directory (./recipes) and of those inside it."""
    from loretta_framework.api.errors import InputError
    from loretta_framework.recipe.catalogue import catalogue
    from loretta_framework.recipe.show import aligned

    if not directory.is_dir():
        fix = (
            "name a directory that holds recipes; the project's own lie in its source tree, "
            "not in the installed package"
        )
        raise InputError("there is no such directory", where=str(directory), fix=fix)
    rows = [[item.name, item.summary, str(item.path)] for item in catalogue(directory)]
    click.echo("\n".join(aligned(rows)) if rows else f"no recipes in {directory}")


@recipe.command()
@RECIPE
@click.option("--static", "mode", flag_value="static", help="One line instead of the plan.")
@click.option("--dynamic", "mode", flag_value="dynamic", help="Also build the model, unallocated.")
@click.option(
    "--profile", "mode", flag_value="profile", help="Train for 20 steps and tell where time goes."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@with_overrides
def check(recipe_file: Path, mode: str | None, as_json: bool, overrides: Sequence[str]) -> None:
    """Check a recipe against plugins and data, and print the plan. Needs no torch.

    With --profile the steps are real ones, in a temporary directory that is removed again.
    """
    import json

    if mode == "profile":
        _profile(recipe_file, overrides, as_json)
        return
    loaded, plan, registry = _planned(recipe_file, overrides)
    facts = _model_facts(plan, loaded, registry) if mode == "dynamic" else {}
    if as_json:
        data = {**plan.to_json(), "hash": plan.hash, **facts}
        click.echo(json.dumps(data, indent=2))
    elif mode == "static":
        click.echo(_summary(plan))
    else:
        from loretta_framework.recipe.show import plan_text

        click.echo(plan_text(plan), nl=False)
        for key, value in facts.items():
            click.echo(f"\n{key}: {value:,}")


@recipe.command()
@RECIPE
@click.option("--diff", "base", type=click.Path(path_type=Path), help="Show what differs from it.")
@with_overrides
def show(recipe_file: Path, base: Path | None, overrides: Sequence[str]) -> None:
    """Print a recipe with its base merged, overrides applied and defaults filled in.

    Settings of a component whose plugin cannot be used are printed as written.
    """
    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.recipe.show import recipe_difference, recipe_text

    loaded = load_recipe(recipe_file, overrides)
    data = _completed(loaded, loaded.directory)
    if base is None:
        click.echo(recipe_text(data), nl=False)
        return
    other = _completed(load_recipe(base), loaded.directory)
    click.echo("\n".join(recipe_difference(other, data)) or "no difference")


@recipe.command()
@RECIPE
@click.argument("key")
@with_overrides
def explain(recipe_file: Path, key: str, overrides: Sequence[str]) -> None:
    """Tell what a key is set to, by whom, what it means, and what was made of it."""
    from loretta_framework.api.errors import LorettaError
    from loretta_framework.recipe.engine import make_plan
    from loretta_framework.recipe.explain import explain as explained
    from loretta_framework.recipe.load import load_recipe

    loaded = load_recipe(recipe_file, overrides)
    components, registry = _usable(loaded)
    plan, obstacle = None, ""
    try:
        plan = make_plan(loaded, registry)
    except LorettaError as error:
        obstacle = f"automatic: not known, since there is no plan: {error}"
    click.echo(explained(loaded, components, plan, key))
    if obstacle:
        click.echo(obstacle, err=True)


@recipe.command()
@RECIPE
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@with_output
@with_overrides
def graph(recipe_file: Path, form: str, out: Path | None, overrides: Sequence[str]) -> None:
    """Draw which modalities occur together, and which pairs must be bridged."""
    from loretta_framework.recipe.draw import FORMATS as DRAWINGS

    _, plan, _ = _planned(recipe_file, overrides)
    _write(DRAWINGS[form](plan), out)


@recipe.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    import json

    from loretta_framework.recipe.schema import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2))


@recipe.command()
@RECIPE
@with_output
@with_overrides
def fill(recipe_file: Path, out: Path | None, overrides: Sequence[str]) -> None:
    """Print a recipe with all defaults written out and every key explained."""
    from loretta_framework.recipe.engine import check_components
    from loretta_framework.recipe.fill import filled_text
    from loretta_framework.recipe.load import load_recipe

    loaded = load_recipe(recipe_file, overrides)
    components, _ = check_components(loaded)
    _write(filled_text(loaded, components, out.parent if out else None), out)


def _completed(loaded: LoadedRecipe, directory: Path) -> dict[str, Any]:
    """All values, with paths as seen from a directory."""
    from loretta_framework.recipe.hashes import completed

    return completed(loaded.resolved_for(directory), _usable(loaded)[0])


def _usable(loaded: LoadedRecipe) -> tuple[Components, Registry]:
    """The components that can be looked up; tells about the others, whose defaults stay unknown."""
    from loretta_framework.recipe.nodes import check_nodes, needed_plugins
    from loretta_framework.registry import Registry

    registry = Registry.discover(needed_plugins(loaded.resolved))
    components, problems = check_nodes(loaded.resolved, registry, loaded.where)
    for problem in problems:
        click.echo(f"note: shown as written: {problem}", err=True)
    return components, registry


def _planned(path: Path, overrides: Sequence[str]) -> tuple[LoadedRecipe, Plan, Registry]:
    from loretta_framework.recipe.engine import make_plan
    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.recipe.nodes import needed_plugins
    from loretta_framework.registry import Registry

    loaded = load_recipe(path, overrides)
    registry = Registry.discover(needed_plugins(loaded.resolved))
    return loaded, make_plan(loaded, registry), registry


def _model_facts(plan: Plan, loaded: LoadedRecipe, registry: Registry) -> dict[str, int]:
    """Parameters of the model, built on the meta device: shapes without memory."""
    import torch

    from loretta_framework.model.build import build_model

    with torch.device("meta"):
        model = build_model(plan, loaded.recipe, registry)
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def _profile(path: Path, overrides: Sequence[str], as_json: bool) -> None:
    """Print where the time of training steps goes."""
    import json

    from loretta_framework.recipe.load import load_recipe
    from loretta_framework.recipe.threads import set_thread_count

    loaded = load_recipe(path, overrides)
    set_thread_count(loaded.recipe)
    from loretta_framework.train.profile import profile  # loads torch

    found = profile(loaded, lambda text: click.echo(f"  {text}", err=True))
    text = json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines())
    click.echo(text)


def _summary(plan: Plan) -> str:
    counts = {
        "modalities": len(plan.modalities),
        "observed pairs": len(plan.graph.observed),
        "missing pairs": len(plan.bridges),
        "tasks": len(plan.tasks),
        "ids": plan.vocabulary.size,
    }
    facts = ", ".join(f"{thing}: {count}" for thing, count in counts.items())
    return f"ok: {plan.name} ({facts}), plan {plan.hash[:16]}"


def _write(text: str, out: Path | None) -> None:
    """To a file, written aside and renamed, or to standard output."""
    if out is None:
        click.echo(text, nl=False)
        return
    from loretta_framework.api.errors import InputError

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=out.parent, delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, out)
    except OSError as error:
        what = f"the file cannot be written: {error.strerror or error}"
        raise InputError(
            what, where=str(out), fix="name a file in a directory you may write"
        ) from error
    click.echo(f"wrote {out}", err=True)
