"""Finds what the recipe's `shards` name: local paths, `*` allowed."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from loretta_framework.api.errors import ShardError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def places(patterns: Sequence[str], base: Path) -> tuple[Path, ...]:
    """Existing files and folders that the patterns name, absolute, each once, sorted.

    Args:
        patterns: paths, in which `*` stands for any part of a name.
        base: folder that relative ones start from.

    Raises:
        ShardError: a pattern matches nothing, is a URL, or holds braces.
    """
    found: set[Path] = set()
    for pattern in patterns:
        if _SCHEME.match(pattern):
            raise ShardError(
                f"a table must be a local path, but is '{pattern}'",
                fix="copy the tables to a local folder",
            )
        if "{" in pattern:
            raise ShardError(
                f"braces have no meaning in the path of a table, but '{pattern}' has some",
                fix="use '*', or a list of paths",
            )
        # The only wildcard: brackets and question marks occur in the names of folders.
        literal = pattern.replace("[", "[[]").replace("?", "[?]")
        hits = glob.glob(literal, root_dir=base) if "*" in pattern else [pattern]
        hits = [hit for hit in hits if (base / hit).exists() and not hit.endswith(".safetensors")]
        if not hits:
            raise ShardError(
                f"nothing matches '{pattern}'",
                where=str(base),
                fix="check the path; it is relative to that folder",
            )
        found.update((base / hit).resolve() for hit in hits)
    return tuple(sorted(found))
