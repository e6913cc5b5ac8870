"""Paths inside a recipe are relative to the recipe's own directory; here they move with it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from loretta_framework.recipe.origins import at

SPLITS = ("train", "validation", "test")
"""The splits of `data`, in order."""

_MAGIC = re.compile(r"[*?\[{]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def directory_of(recipe: Path) -> Path:
    """The directory that a recipe's paths start from, absolute and free of links.

    Only the directory is resolved: a link to a recipe file stands for a recipe where the link is.
    """
    return recipe.absolute().parent.resolve()


def tidy(path: Path) -> Path:
    """The same place without `a/..`; a ".." behind a link does not lead back to where it was."""
    plain = os.path.normpath(path)
    return Path(
        plain if os.path.realpath(plain) == os.path.realpath(path) else os.path.realpath(path)
    )


def relocate(data: dict[str, Any], old: Path, new: Path) -> None:
    """Rewrite, in place, the relative paths of a recipe written in `old` to hold in `new`.

    Data of the wrong form is left as it is; validation reports it.
    """
    if old == new:
        return
    for split in SPLITS:
        sets = at(data, ("data", split))
        for item in sets if isinstance(sets, list) else []:
            shards = item.get("shards") if isinstance(item, dict) else None
            if isinstance(shards, str):
                item["shards"] = _moved(shards, old, new)
            elif isinstance(shards, list):
                item["shards"] = [_moved(s, old, new) if isinstance(s, str) else s for s in shards]
    if isinstance(data.get("init_from"), str):
        data["init_from"] = _moved(data["init_from"], old, new, pattern=False)
    section = data.get("data")
    if isinstance(section, dict) and isinstance(section.get("tokens"), str):
        section["tokens"] = _moved(section["tokens"], old, new, pattern=False)


def _moved(text: str, old: Path, new: Path, pattern: bool = True) -> str:
    if os.path.isabs(text) or _SCHEME.match(text):
        return text
    parts = text.split("/")
    wild = [number for number, part in enumerate(parts) if pattern and _MAGIC.search(part)]
    cut = wild[0] if wild else len(parts) - 1
    start = os.path.relpath(tidy(Path(old, *parts[:cut])), new)
    if start == ".":
        return "/".join(parts[cut:])
    # Only `*` is wild in a shard pattern besides braces; escaping `[` would change the folder.
    return os.path.join(start, *parts[cut:])
