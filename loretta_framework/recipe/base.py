"""A recipe and the one it changes (`base:`, one level) become one tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.recipe.origins import Origin, Tree
from loretta_framework.recipe.paths import directory_of, relocate, tidy
from loretta_framework.recipe.yaml_reader import KeyPath, read_yaml, walk


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a recipe, merged.

    Attributes:
        tree: what they say; data paths are relative to the recipe's own directory.
        base: the base recipe's file, None when there is none.
    """

    tree: Tree
    base: Path | None


def read_sources(path: Path) -> Sources:
    """Read a recipe and its base.

    Raises:
        RecipeError: a file cannot be read, is not a mapping, or the base has a base itself.
    """
    own = _read(path, base=False)
    named = own.data.pop("base", None)
    if named is None:
        return Sources(own, None)
    where = own.where(("base",))
    if not isinstance(named, str):
        raise RecipeError([Problem("must be the path of a recipe", where, "name a file or null")])
    base_path = tidy(path.parent / named)
    base = _read(base_path, base=True)
    if base.data.pop("base", None) is not None:
        what = f"a base must not have a base itself, but {base_path} has one"
        raise RecipeError([Problem(what, where, "write the values into one of the two files")])
    relocate(base.data, directory_of(base_path), directory_of(path))
    return Sources(merge(base, own), base_path)


def merge(base: Tree, own: Tree) -> Tree:
    """Mappings are merged key by key, anything else is replaced; lists are replaced whole.

    Where a node's `kind` changes its old `settings` are dropped: they belong to the old component.
    """
    origins: dict[KeyPath, Origin] = {}
    data = _merge(base, base.data, own, own.data, (), origins)
    origins[()] = own.origins.get((), Origin("file"))
    return Tree(data, origins)


def _merge(
    base: Tree,
    old: dict[str, Any],
    own: Tree,
    new: dict[str, Any],
    path: KeyPath,
    origins: dict[KeyPath, Origin],
) -> dict[str, Any]:
    dropped = {"settings"} if "kind" in old and new.get("kind", old["kind"]) != old["kind"] else ()
    merged: dict[str, Any] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        below = (*path, key)
        before = None if key in dropped else old.get(key)
        if key in new and isinstance(before, dict) and isinstance(new[key], dict):
            merged[key] = _merge(base, before, own, new[key], below, origins)
            origins[below] = own.origins[below]
        elif key in new:
            merged[key] = _take(own, new[key], below, origins)
        elif key not in dropped:
            merged[key] = _take(base, old[key], below, origins)
    return merged


def _take(tree: Tree, value: Any, path: KeyPath, origins: dict[KeyPath, Origin]) -> Any:
    origins.update({below: tree.origins[below] for below, _ in walk(value, path)})
    return value


def _read(path: Path, base: bool) -> Tree:
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        what = "a recipe must be a mapping of sections such as `name:` and `data:`"
        raise RecipeError([Problem(what, str(path), "see `loretta recipe schema`")])
    return Tree.of(document, "base" if base else "file")
