"""Hashes of a recipe and of its data that do not depend on where the files lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from loretta_framework.recipe.nodes import Components
from loretta_framework.recipe.origins import at
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.yaml_reader import copied


def completed(resolved: Mapping[str, Any], components: Components) -> dict[str, Any]:
    """The resolved recipe with the settings of every component filled in, all nodes in long form."""
    data: dict[str, Any] = copied(dict(resolved))
    for path, component in components.items():
        parent = at(data, path[:-1])
        node = parent[path[-1]]
        extra = node if isinstance(node, dict) else {"kind": node}
        parent[path[-1]] = {**extra, "settings": copied(component.plan.settings)}
    return data


def recipe_hash(complete: Mapping[str, Any]) -> str:
    """sha256 of a completed recipe without callbacks; of paths only the last part counts.

    Where cached tokens lie does not count: they are the tokens.
    """
    data = copied(dict(complete))
    del data["callbacks"]
    data["data"].pop("tokens", None)
    for split in SPLITS:
        for item in data["data"][split]:
            shards = item["shards"]
            item["shards"] = [_last(s) for s in ([shards] if isinstance(shards, str) else shards)]
    data["init_from"] = _last(data["init_from"]) if data["init_from"] else None
    return _digest(data)


def data_hash(digests: Sequence[tuple[str, str, str]]) -> str:
    """sha256 of (split, set name, digest of its contents) of every set."""
    return _digest([list(item) for item in digests])


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()
