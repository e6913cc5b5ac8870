"""The recipe reference, from the schema."""

from __future__ import annotations

from collections.abc import Iterator

import fields
from pydantic import BaseModel

from loretta_framework.recipe.schema import Recipe


def pages() -> Iterator[tuple[str, str]]:
    """One page."""
    yield "reference/recipe.md", "\n".join(_page())


def _page() -> Iterator[str]:
    yield "# Recipe reference\n"
    yield (
        "Every key of a recipe. `loretta recipe fill R` writes a recipe with all defaults and these "
        "sentences as comments, `loretta recipe schema` prints a JSON schema for editors, and "
        "`loretta recipe explain R KEY` says where a value comes from. Unknown keys are refused.\n"
    )
    done: set[type[BaseModel]] = set()
    waiting: list[type[BaseModel]] = [Recipe]
    while waiting:
        model = waiting.pop(0)
        if model in done:
            continue
        done.add(model)
        yield f"## {model.__name__}\n"
        yield f"{(model.__doc__ or '').strip()}\n"
        yield from fields.table(model)
        yield ""
        waiting.extend(fields.nested(model))
