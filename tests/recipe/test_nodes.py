"""Components and requirements of a recipe: what is missing, broken or given wrong settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import RecipeError
from loretta_framework.recipe.engine import check_components
from loretta_framework.recipe.load import load_recipe
from loretta_framework.registry import Registry
from loretta_framework.testing.broken_plugins import FAULTS, write_plugin


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        check_components(load_recipe(path, overrides))
    return str(caught.value)


def test_settings_are_validated_and_completed(workshop: Any) -> None:
    components, _ = check_components(load_recipe(workshop.recipe()))
    image = components["modalities", "image"]
    assert image.plan.kind == "toy.symbols"
    assert image.plan.version == 3
    assert image.plan.distribution == "loretta-plugin-toy 0.4"
    assert image.plan.settings == {
        "max_bytes": 64 * 2**20,
        "size": 10,
        "length": 6,
        "shape": [1, 2],
    }
    assert image.settings.shape == (1, 2)
    assert components["backbone",].plan.settings["width"] > 0
    assert components["evaluate", 0].plan.kind == "likelihood"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modalities.image.settings.size=big", "must be an integer, but is 'big'"),
        ("modalities.image.settings.size=0", "must be greater than 0, but is 0\n  -> Number of"),
        (
            "modalities.image.settings.shape=[1, x]",
            "settings.shape.1: must be an integer, but is 'x'",
        ),
        ("modalities.image.settings.siez=3", "unknown key 'siez' (did you mean 'size'?)"),
        ("modalities.text.settings.longest=1", "longest must leave room for two words"),
        ("modalities.text.settings.case=Lower", "but is 'Lower' (did you mean 'lower'?)"),
        ("objectives.transitive.settings.top_k=0", "settings.top_k: must be at least 1, but is 0"),
        (
            "backbone.settings.heads=null",
            "backbone.settings.heads: must be an integer, but is null",
        ),
    ],
)
def test_settings_of_the_wrong_kind(workshop: Any, override: str, message: str) -> None:
    text = refusal(workshop.recipe(), override)
    assert message in text
    assert f"--set {override}: {override.split('=', maxsplit=1)[0].partition('.siez')[0]}" in text


def test_faults_in_a_file_name_key_and_line(workshop: Any) -> None:
    path = workshop.recipe()
    text = path.read_text(encoding="utf-8").replace("size: 12", "size: 12.5")
    path = workshop.recipe(text.replace("{vocab_size: 20}", "{}"))
    found = refusal(path)
    assert f"{path}:10: modalities.speech.settings.size: must be an integer, but is 12.5" in found
    assert f"{path}:6: modalities.text.settings.vocab_size: must be given, but is missing" in found


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "modalities.image.kind=toy.symbol",
            "unknown modality 'toy.symbol' (did you mean 'toy.symbols'?)",
        ),
        ("backbone.kind=nowhere.net", "no plugin 'nowhere' is installed"),
        ("backbone.kind=causal", "'causal' is an objective, but a backbone is needed here"),
        ("objectives.0.kind=casual", "unknown objective 'casual' (did you mean 'causal'?)"),
        ("callbacks=[{kind: progres}]", "unknown callback 'progres' (did you mean 'progress'?)"),
        ("evaluate=[retrival]", "unknown evaluator 'retrival' (did you mean 'retrieval'?)"),
        ("data.train.captions.source.kind=toy.symbols", "but a source is needed here"),
        (
            "modalities.image.kind=toy.absent",
            "the settings of 'toy.absent' (loretta-plugin-toy 0.4)",
        ),
        ("modalities.image.kind=toy.bad_bounds", "1 <= min_tokens <= max_tokens"),
        (
            "modalities.image.kind=toy.bad_slots",
            "slot 1 must be ids without a gap, at least one, within 0..3, but is range(3, 5)",
        ),
    ],
)
def test_components_that_cannot_be_used(workshop: Any, override: str, message: str) -> None:
    text = refusal(workshop.recipe(), override)
    assert message in text
    assert "--set " + override.partition("=")[0] in text


def test_an_absent_bundled_plugin_is_told_with_its_install_command(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loretta_framework.registry.discovery.BUNDLED", ("imaginary",))
    text = refusal(workshop.recipe(), "modalities.image.kind=imaginary.pixels")
    assert "modalities.image.kind: unknown modality 'imaginary.pixels'" in text
    assert "pip install loretta-plugin-imaginary" in text


def test_a_broken_plugin_is_told_by_its_own_cause(workshop: Any, site: Path) -> None:
    write_plugin(site, "sick", FAULTS["raises"])
    text = refusal(workshop.recipe(), "modalities.image.kind=sick.thing")
    assert "'sick.thing' needs the plugin 'sick' of loretta-plugin-sick 1.0" in text
    assert "no such codec" in text
    assert "modalities.image.kind" in text


def test_only_plugins_that_the_recipe_names_are_imported(workshop: Any, site: Path) -> None:
    write_plugin(site, "sick", "raise SystemExit('imported')\n")
    _, registry = check_components(load_recipe(workshop.recipe()))
    status = {record.name: record.status for record in registry.records}
    assert (status["toy"], status["sick"]) == ("ok", "unchecked")


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        (
            "loretta-plugin-toy>=1",
            "needs loretta-plugin-toy>=1, but loretta-plugin-toy 0.4 is installed",
        ),
        ("loretta-plugin-toy>=1", "pip install 'loretta-plugin-toy>=1'"),
        ("loretta-plugin-imaginary", "needs loretta-plugin-imaginary, which is not installed"),
        ("loretta-plugin-imaginary", "pip install loretta-plugin-imaginary"),
        ("a b", "must be a distribution with a version range, but is 'a b'"),
        ("x @ https://example.org/x.whl", "must not name a URL"),
    ],
)
def test_requirements_that_do_not_hold(workshop: Any, requirement: str, message: str) -> None:
    assert message in refusal(workshop.recipe(), f"requires=['{requirement}']")


def test_requirements_that_hold(workshop: Any) -> None:
    entries = (
        "['loretta-plugin-toy>=0.3,<1', 'loretta-framework', 'nonesuch; python_version<\"3\"']"
    )
    check_components(load_recipe(workshop.recipe(), [f"requires={entries}"]))


def test_requirements_and_components_are_reported_together(workshop: Any) -> None:
    text = refusal(
        workshop.recipe(),
        "requires=[nonesuch]",
        "backbone.kind=x.y",
        "modalities.image.settings.size=z",
    )
    assert text.count("\n  ->") == 3


def test_a_registry_may_be_given(workshop: Any) -> None:
    registry = Registry.discover({"toy"})
    assert check_components(load_recipe(workshop.recipe()), registry)[1] is registry
