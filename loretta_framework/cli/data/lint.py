"""`loretta data lint`."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loretta_framework.api.errors import EXIT_OK, EXIT_USER, InputError

if TYPE_CHECKING:
    from loretta_framework.shards.linting.findings import Finding


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--recipe", type=click.Path(path_type=Path), help="Decode with its modalities.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe key.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, help="Processes that decode.")
def lint(
    paths: tuple[str, ...],
    recipe: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    workers: int,
) -> int:
    """Name every fault of shards. PATHS are tars, folders, patterns or URLs.

    With a recipe media are decoded, counts compared and leaks between sets looked for; without
    PATHS all its sets are checked. The exit code is 2 when there are errors.
    """
    from loretta_framework.shards.linting.findings import tally

    findings: list[Finding] = []
    for finding in _findings(paths, recipe, overrides, workers):
        findings.append(finding)
        if not as_json:
            click.echo(str(finding))
    errors, warnings = tally(findings)
    if as_json:
        told = [finding.to_json() for finding in findings]
        summary = {"findings": told, "errors": errors, "warnings": warnings}
        click.echo(json_text.dumps(summary, indent=1))
    else:
        click.echo(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return EXIT_USER if errors else EXIT_OK


def _findings(
    paths: tuple[str, ...], recipe: Path | None, overrides: Iterable[str], workers: int
) -> Iterator[Finding]:
    from loretta_framework.shards.index import expand_paths
    from loretta_framework.shards.linting.lint import lint_shards

    if not paths and recipe is None:
        raise InputError("nothing to check was named", fix="name shards, or give --recipe R")
    yield from _compressed(paths)
    shards = expand_paths(paths, Path.cwd(), skip_compressed=True) if paths else None
    if recipe is None:
        yield from lint_shards(shards or ())
        return
    from loretta_framework.data.linting.lint import lint_recipe
    from loretta_framework.recipe.load import load_recipe

    yield from lint_recipe(load_recipe(recipe, tuple(overrides)), shards, workers)


def _compressed(paths: Iterable[str]) -> Iterator[Finding]:
    """The compressed tars of folders, a finding each: the other shards are checked as well."""
    from loretta_framework.shards.index import compressed_tars
    from loretta_framework.shards.linting.findings import Finding

    for path in paths:
        for error in compressed_tars(path, Path.cwd()):
            yield Finding("error", "compressed-shard", error.what, error.fix, error.where)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
