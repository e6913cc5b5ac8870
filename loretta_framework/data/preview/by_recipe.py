"""Samples of a recipe's sets, or of any shards by the modalities of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from loretta_framework.data.preview.samples import Sheet, sheet_of_set
from loretta_framework.data.recipe_data import build_parts, recipe_sets, sets_of_shards
from loretta_framework.data.sample import SetReader
from loretta_framework.recipe.load import LoadedRecipe


def recipe_sheets(
    loaded: LoadedRecipe, shards: Sequence[str] | None, rows: int, seed: int | None
) -> Iterator[Sheet]:
    """A sheet for each set, or for each that the shards given belong to.

    Raises:
        RecipeError, PluginError: the recipe is at fault.
        ShardError: a set cannot be opened.
    """
    parts = build_parts(loaded)
    sets = recipe_sets(loaded, parts) if shards is None else sets_of_shards(shards, loaded, parts)
    for item in sets:
        if item.fault is not None:
            raise item.fault
        reader = SetReader(replace(item.plan, missing="keep"), item.source)
        yield sheet_of_set(reader, parts.modalities, parts.max_bytes, rows, seed)
