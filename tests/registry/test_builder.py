"""Building components from plain settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.api.errors import PluginError, RecipeError
from loretta_framework.api.specs import Bounds
from loretta_framework.registry import Builder, Registry
from loretta_framework.testing.broken_plugins import write_plugin


@pytest.fixture
def registry(site: Path) -> Registry:
    write_plugin(site, "alpha")
    return Registry.discover({"alpha"})


def test_build_validates_fills_in_defaults_and_collects_notes(registry: Registry) -> None:
    heard: list[tuple[str, str, str]] = []
    builder = Builder(registry, lambda *note: heard.append(note))
    thing = builder.build("alpha.thing", {"shape": [3, 4, 5]})
    assert thing.settings.size == 4
    assert thing.settings.shape == (3, 4, 5)
    assert builder.reasons == [("alpha.size", "4", "it was asked for")] == heard


def test_all_faults_of_settings_are_reported_together(registry: Registry) -> None:
    with pytest.raises(RecipeError) as error:
        Builder(registry).build("alpha.thing", {"sise": 1, "shape": "wide"})
    text = str(error.value)
    assert "settings of 'alpha.thing': sise: unknown setting (did you mean 'size'?)" in text
    assert "settings of 'alpha.thing': shape: Input should be a valid" in text


@pytest.mark.parametrize("value", ["4", 4.5, True])
def test_settings_are_not_converted(registry: Registry, value: object) -> None:
    with pytest.raises(RecipeError, match="size: Input should be a valid integer"):
        Builder(registry).build("alpha.thing", {"size": value})


def test_settings_must_be_plain_data(registry: Registry) -> None:
    with pytest.raises(RecipeError, match="settings must be plain data"):
        Builder(registry).build("alpha.thing", {"size": object()})


def test_build_spec_insists_on_the_group(registry: Registry) -> None:
    with pytest.raises(PluginError, match="is a modality, but a backbone is needed here"):
        Builder(registry).build_spec("backbone", "alpha.thing", {})


def test_bounds_are_told_without_building() -> None:
    builder = Builder(Registry.discover())
    settings = {"min_tokens": 2, "max_tokens": 8}
    assert builder.bounds("text_bytes", settings) == Bounds(256, min_tokens=2, max_tokens=8)
    with pytest.raises(RecipeError, match="settings of 'text_bytes': max_token: unknown setting"):
        builder.bounds("text_bytes", {"max_token": 8})
    with pytest.raises(PluginError, match="'transformer' is a backbone, but a modality is needed"):
        builder.bounds("transformer", {})
