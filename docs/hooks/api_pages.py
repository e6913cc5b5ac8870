"""The Python reference: pages of directives that mkdocstrings fills from docstrings."""

from __future__ import annotations

from collections.abc import Iterator

PYTHON = (
    "loretta_framework.recipe.load.load_recipe",
    "loretta_framework.recipe.engine.make_plan",
    "loretta_framework.recipe.plan.Plan",
    "loretta_framework.train.run.train",
    "loretta_framework.inference.load",
    "loretta_framework.inference.LoadedModel",
)

API = (
    "hooks",
    "specs",
    "settings",
    "protocols",
    "objectives",
    "rows",
    "layout",
    "trials",
    "errors",
    "codebook",
    "ids",
    "random",
    "masks",
    "norms",
    "guarded",
)


def pages() -> Iterator[tuple[str, str]]:
    """Two pages: what users call, and what plugins import."""
    yield "reference/python.md", _page("Python", PYTHON, 2)
    rooms = tuple(f"loretta_framework.api.{name}" for name in API)
    yield "reference/api.md", _page("Plugin API", rooms, 2)


def _page(title: str, names: tuple[str, ...], level: int) -> str:
    parts = [f"::: {name}\n    options:\n      heading_level: {level}\n" for name in names]
    return "\n".join([f"# {title}\n", *parts])
