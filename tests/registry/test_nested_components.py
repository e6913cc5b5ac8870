"""Components in the settings of others are looked up, recorded, and confined to the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.api.errors import PluginError
from loretta_framework.recipe.nodes import check_nodes, needed_plugins
from loretta_framework.recipe.providers import provided
from loretta_framework.registry import Builder, Registry
from loretta_framework.testing.broken_plugins import PARTS, write_plugin

OUTER = PARTS.replace("{name}", "outer").replace(
    "    size: int = 4",
    "    inner: ComponentNode = ComponentNode(kind='inner.thing')\n    size: int = 4",
)
OUTER = OUTER.replace("import Bounds,", "import Bounds, ComponentNode,").replace(
    "        self.settings = settings",
    "        self.settings = settings\n"
    "        self.inner = context.build(settings.inner.kind, settings.inner.settings)",
)


@pytest.fixture
def plugins(site: Path) -> Path:
    write_plugin(site, "inner")
    write_plugin(site, "outer")
    (site / "loretta_plugin_outer" / "parts.py").write_text(OUTER)
    return site


def recipe(**settings: object) -> dict[str, object]:
    return {"modalities": {"a": {"kind": "outer.thing", "settings": settings}}}


INNER = {"kind": "inner.thing", "settings": {"size": 7}}


def test_they_are_needed_checked_and_in_the_table(plugins: Path) -> None:
    data = recipe(inner=INNER)
    assert needed_plugins(data) == {"outer", "inner"}
    registry = Registry.discover(needed_plugins(data))
    components, problems = check_nodes(data, registry, str)
    assert problems == []
    nested = components["modalities", "a", "settings", "inner"]
    assert nested.plan.settings["size"] == 7
    assert [plan.name for plan in provided(components, registry)] == ["inner", "outer"]


def test_faults_of_nested_ones_are_told_with_their_place(plugins: Path) -> None:
    def problems(**inner: object) -> str:
        data = recipe(inner=inner)
        found = check_nodes(data, Registry.discover(needed_plugins(data)), str)[1]
        return "\n".join(map(str, found))

    wrong = problems(kind="inner.thing", settings={"size": "x"})
    assert "('modalities', 'a', 'settings', 'inner', 'settings', 'size')" in wrong
    assert "unknown component 'inner.thin' (did you mean 'inner.thing'?)" in problems(
        kind="inner.thin"
    )


def test_a_default_must_be_written_out_where_it_needs_a_plugin(plugins: Path) -> None:
    data = recipe()
    _, problems = check_nodes(data, Registry.discover(needed_plugins(data)), str)
    (problem,) = problems
    assert "'inner.thing' is a default, and its plugin is not named in the recipe" in str(problem)


def test_a_run_refuses_what_its_recipe_does_not_name_and_python_does_not(plugins: Path) -> None:
    named = {"outer"}
    with pytest.raises(PluginError, match="'inner', which the recipe does not name"):
        Builder(Registry.discover(named, named)).build("outer.thing", {"inner": INNER})
    built = Builder(Registry.discover(named)).build("outer.thing", {"inner": INNER})
    assert built.inner.settings.size == 7
