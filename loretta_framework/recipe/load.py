"""Recipe files to a validated `Recipe`, with the origin of every value and all faults at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.recipe.base import read_sources
from loretta_framework.recipe.checks import check_names
from loretta_framework.recipe.faults import problems_of
from loretta_framework.recipe.mixing import check_mixing
from loretta_framework.recipe.nodes import check_nodes, needed_plugins
from loretta_framework.recipe.origins import Origin, Tree, dotted, locate
from loretta_framework.recipe.override import apply_overrides
from loretta_framework.recipe.paths import directory_of, relocate
from loretta_framework.recipe.requirements import requirement_problems
from loretta_framework.recipe.schema import Recipe
from loretta_framework.recipe.yaml_reader import KeyPath, copied, walk
from loretta_framework.registry import Registry


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe as one experiment: base merged, overrides applied, defaults filled in.

    Attributes:
        recipe: the validated recipe; its `base` is None, since what the base says is in it.
        path: the recipe's file.
        base: the base recipe's file, None when there is none.
        origins: `data.train.0.share` -> where that value comes from, for every value.
        resolved: the recipe as plain data; paths in it are relative to `directory`.
        overrides: as they were given.
    """

    recipe: Recipe
    path: Path
    base: Path | None
    origins: Mapping[str, Origin]
    resolved: dict[str, Any]
    overrides: tuple[str, ...]

    @property
    def directory(self) -> Path:
        """Where the recipe's relative paths start from: absolute, free of links."""
        return directory_of(self.path)

    def where(self, path: KeyPath) -> str:
        """Place and dotted key of a value for messages: "recipe.yaml:12: train.steps"."""
        known: dict[KeyPath, Origin] = {}
        for end in range(len(path) + 1):
            origin = self.origins.get(dotted(path[:end]))
            if origin is not None and origin.kind != "default":
                known[path[:end]] = origin
        return locate(self.resolved, known, path)

    def resolved_for(self, directory: Path) -> dict[str, Any]:
        """The resolved recipe with relative paths that hold for a file in another directory."""
        data: dict[str, Any] = copied(self.resolved)
        relocate(data, self.directory, directory.absolute().resolve())
        return data


def load_recipe(
    path: Path | str, overrides: Sequence[str] = (), registry: Registry | None = None
) -> LoadedRecipe:
    """Load a recipe file.

    No plugin is imported unless the recipe has faults; then its nodes are checked as well, so that
    all faults are reported together.

    Args:
        path: the file.
        overrides: `a.b=c` each; list items are addressed by name or index.
        registry: used for that check; None discovers what the recipe names.

    Raises:
        RecipeError: holds every fault, each with file and line, dotted key, and what to do.
    """
    path = Path(path)
    sources = read_sources(path)
    tree = sources.tree
    problems = apply_overrides(tree, overrides)
    recipe, faults = _validated(tree)
    problems += faults + check_names(tree.data, tree.where) + check_mixing(tree.data, tree.where)
    if problems or recipe is None:
        raise RecipeError(_in_order(problems + _plugin_problems(tree, registry)))
    resolved = recipe.model_dump(mode="json")
    return LoadedRecipe(
        recipe, path, sources.base, _origins(tree, resolved), resolved, tuple(overrides)
    )


def _validated(tree: Tree) -> tuple[Recipe | None, list[Problem]]:
    try:
        return Recipe.model_validate_json(json.dumps(tree.data)), []
    except ValidationError as error:
        return None, problems_of(error, Recipe, tree.data, tree.where)


def _plugin_problems(tree: Tree, registry: Registry | None) -> list[Problem]:
    registry = registry or Registry.discover(needed_plugins(tree.data))
    problems = check_nodes(tree.data, registry, tree.where)[1]
    requires = tree.data.get("requires")
    if isinstance(requires, list) and all(isinstance(item, str) for item in requires):
        problems += requirement_problems(requires, tree.where)
    return problems


def _origins(tree: Tree, resolved: dict[str, Any]) -> dict[str, Origin]:
    default = Origin("default")
    return {dotted(path): tree.origins.get(path, default) for path, _ in walk(resolved) if path}


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Each once, by file and line; overrides first, as they were given."""

    def place(problem: Problem) -> tuple[str, int]:
        file, _, rest = problem.where.partition(":")
        line = rest.partition(":")[0]
        return ("", 0) if file.startswith("--set") else (file, int(line) if line.isdigit() else 0)

    return sorted(dict.fromkeys(problems), key=place)
