"""Everything that is wrong with the data of a recipe: shards, declarations, media, leaks.

Nothing is assumed of the data: shards are walked before an index is made, and media are decoded in
child processes, where a decoder that crashes or hangs costs one finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from loretta_framework.api.errors import ShardError
from loretta_framework.api.protocols import RowSource
from loretta_framework.data.linting.declarations import check_declarations
from loretta_framework.data.linting.leaks import find_leaks
from loretta_framework.data.linting.media import ROW_SECONDS, MediaSet, lint_media
from loretta_framework.data.linting.set_contents import SetContents, rows_contents
from loretta_framework.data.recipe_data import (
    RecipeParts,
    RecipeSet,
    build_parts,
    recipe_sets,
    sets_of_shards,
)
from loretta_framework.data.sample import open_store
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.linting.lint import is_fatal, lint_shard
from loretta_framework.shards.linting.repeats import repeated_keys, repeated_samples

_OF_PARTS = frozenset({"bad-sequence", "duplicate-part", "incomplete-sequence"})
"""What depends on how the recipe maps members to parts: decoding tells it, by that mapping."""


@dataclass(slots=True)
class _Found:
    """What was found out about a set.

    Attributes:
        declared: the set.
        contents: what its shards hold.
        faulty: shards with errors, which cannot be indexed.
    """

    declared: RecipeSet
    contents: Contents = field(default_factory=Contents)
    faulty: set[str] = field(default_factory=set)

    def media(self) -> MediaSet:
        """What is to be decoded of it."""
        item = self.declared
        left = tuple(shard for shard in item.plan.shards if shard not in self.faulty)
        plan = replace(item.plan, shards=left, missing="keep")
        return MediaSet(plan, item.source, self.contents)


def lint_recipe(
    loaded: LoadedRecipe,
    shards: Sequence[str] | None = None,
    children: int = 2,
    seconds: float = ROW_SECONDS,
) -> Iterator[Finding]:
    """Every fault of the data of a recipe.

    Args:
        loaded: the recipe.
        shards: look at these only, as the recipe's sets that name them, see `sets_of_shards`; None:
            at all that the recipe names.
        children: processes that decode.
        seconds: time that one sample may take to decode.

    Raises:
        RecipeError, PluginError: the recipe itself is at fault.
    """
    parts = build_parts(loaded)
    sets = recipe_sets(loaded, parts) if shards is None else sets_of_shards(shards, loaded, parts)
    for item in sets:
        if item.fault is not None:
            what = f"{item.fault.what} ({item.fault.where})"
            yield Finding("error", "no-shards", what, item.fault.fix, data_set=item.title)
    found = [_Found(item) for item in sets if item.fault is None]
    seen: set[str] = set()
    for one in found:
        yield from _lint_set(one, parts, seen)
    if len(found) > 1:
        held = [set_contents for one in found for set_contents in _held(one)]
        yield from find_leaks(held, list(parts.modalities))
    yield from lint_media([one.media() for one in found], parts, children, seconds)


def _held(one: _Found) -> Iterator[SetContents]:
    """What a set holds; nothing where its rows cannot be read, which `lint_media` names."""
    item = one.declared
    plan, contents, store = item.plan, one.contents, None
    if isinstance(item.source, RowSource):
        try:
            store = open_store(plan, item.source)
            contents = rows_contents(store)
        except ShardError:
            return
    yield SetContents(plan.split, plan.name, contents, item.mapping, store)


def _lint_set(one: _Found, parts: RecipeParts, seen: set[str]) -> Iterator[Finding]:
    """Walk the set's shards and compare them with its declaration."""
    item, contents = one.declared, one.contents
    if isinstance(item.source, RowSource):
        return  # what it opens is no tar: only decoding can tell
    found: list[Finding] = []
    for shard in item.plan.shards:
        of_shard = list(lint_shard(shard, contents))
        if shard not in seen:  # another set may name it too
            found += [finding for finding in of_shard if finding.code not in _OF_PARTS]
        seen.add(shard)
        if any(is_fatal(finding) for finding in of_shard):
            one.faulty.add(shard)
            what, fix = "its media were not decoded, since it cannot be indexed", "mend it first"
            found.append(Finding("warning", "not-decoded", what, fix, shard, data_set=item.title))
    repeated = list(repeated_keys(contents))
    one.faulty.update(finding.shard for finding in repeated)
    yield from (*found, *repeated, *repeated_samples(contents))
    plan = item.plan
    if not item.declared:  # not all need be there: what the shards should hold is nowhere written
        held = {item.mapping(name) for name in contents.names}
        plan = replace(plan, modalities=tuple(name for name in plan.modalities if name in held))
    for finding in check_declarations(
        plan, contents, item.mapping, list(parts.modalities), parts.max_bytes
    ):
        if finding.code != "absent-modality" or not one.faulty:  # it may lie in what was not read
            yield finding
