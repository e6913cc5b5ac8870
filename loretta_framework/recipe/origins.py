"""Where each value of a recipe comes from, and how messages name its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from loretta_framework.recipe.yaml_reader import Document, KeyPath, walk

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a value.

    Attributes:
        kind: "file" (the recipe), "base", "override" or "default".
        file: the file; for an override its text, as `--set a.b=c`; "" for a default.
        line: line in the file, 0 when there is none.
    """

    kind: Literal["file", "base", "override", "default"]
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} (base)" if self.kind == "base" else place or "default"


@dataclass(slots=True)
class Tree:
    """Plain data of a recipe in the making, with the origin of each value.

    Attributes:
        data: what was written, defaults not filled in.
        origins: by path; a path that is absent was not written.
    """

    data: dict[str, Any]
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Document, kind: Literal["file", "base"]) -> Tree:
        """The tree of one file, whose data must be a mapping."""
        origins = {path: Origin(kind, document.name, n) for path, n in document.lines.items()}
        return cls(document.data, origins)

    def put(self, path: KeyPath, value: Any, origin: Origin) -> None:
        """Set a value whose parents exist; it and everything inside get the origin."""
        self.drop_origins(path)
        parent: Any = self.data
        for part in path[:-1]:
            parent = parent[part]
        parent[path[-1]] = value
        for below, _ in walk(value, path):
            self.origins[below] = origin

    def drop_origins(self, path: KeyPath) -> None:
        """Forget the origins of a value and of everything inside."""
        for below in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[below]

    def where(self, path: KeyPath) -> str:
        """Place and dotted key for a message: `recipe.yaml:12: data.train.captions.share`."""
        return locate(self.data, self.origins, path)


def locate(data: Any, origins: dict[KeyPath, Origin], path: KeyPath) -> str:
    """Place and dotted key of a path; what was not written is placed at its nearest parent."""
    origin = next(
        (origins[path[:end]] for end in range(len(path), -1, -1) if path[:end] in origins),
        Origin("default"),
    )
    key = label(data, path)
    place = f"{origin.file}:{origin.line}" if origin.line else origin.file
    return ": ".join(filter(None, [place, key]))


def dotted(path: KeyPath) -> str:
    """`data.train.0.share`: indexes as they are."""
    return ".".join(map(str, path))


def label(data: Any, path: KeyPath) -> str:
    """`data.train.captions.share`: list items by name where the name is the item's alone."""
    parts: list[str] = []
    value = data
    for part in path:
        names = item_names(value) if isinstance(value, list) else []
        name = names[part] if isinstance(part, int) and part < len(names) else ""
        parts.append(name if name and names.count(name) == 1 else str(part))
        value = child(value, part)
    return ".".join(parts)


def item_names(items: list[Any]) -> list[str]:
    """The name by which each item can be addressed: `name`, else `kind`, else its text, else ""."""
    if not all(isinstance(item, dict | str) for item in items):
        return [""] * len(items)
    names = [
        (item.get("name") or item.get("kind")) if isinstance(item, dict) else item for item in items
    ]
    return [name if isinstance(name, str) and _ADDRESS.fullmatch(name) else "" for name in names]


def child(value: Any, part: str | int) -> Any:
    """The value under a key or index, None when there is none."""
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
        return value[part]
    return None


def at(value: Any, path: KeyPath) -> Any:
    """The value at a path, None when there is none."""
    for part in path:
        value = child(value, part)
    return value
