"""A recipe with every default written out and every key explained by a comment."""

from __future__ import annotations

from pathlib import Path

from loretta_framework.recipe.explain import description
from loretta_framework.recipe.hashes import completed
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Components
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.recipe.yaml_writer import write_yaml


def filled_text(loaded: LoadedRecipe, components: Components, directory: Path | None = None) -> str:
    """YAML text that loads to the same experiment: the same plan and the same recipe hash.

    Args:
        loaded: the recipe.
        components: its checked nodes, whose settings are filled in too.
        directory: where the text will lie as a file, so that relative paths hold; None: where the
            recipe lies.
    """
    resolved = loaded.resolved_for(directory or loaded.directory)

    def comment(path: KeyPath) -> str:
        return description(components, path)

    return write_yaml(completed(resolved, components), comment)
