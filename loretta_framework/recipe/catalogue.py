"""The recipes of a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loretta_framework.api.errors import RecipeError
from loretta_framework.recipe.yaml_reader import read_yaml

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipe file: its `name`, its first comment line, its path."""

    name: str
    summary: str
    path: Path


def catalogue(directory: Path) -> list[Entry]:
    """Every YAML file below a directory, by path; one that cannot be read says so as its summary."""
    files = [path for path in directory.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    return [_entry(path) for path in sorted(files)]


def _entry(path: Path) -> Entry:
    try:
        document = read_yaml(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except RecipeError as error:
        return Entry(path.stem, f"cannot be read: {error.problems[0].what}", path)
    name = document.data.get("name") if isinstance(document.data, dict) else None
    comments = (line.strip("# \t") for line in lines if line.startswith("#"))
    return Entry(str(name or path.stem), next(filter(None, comments), ""), path)
