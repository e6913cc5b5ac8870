"""Loading recipes: what is accepted, where values come from, and every fault at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.recipe.load import LoadedRecipe, load_recipe
from loretta_framework.recipe.yaml_reader import parse_yaml
from loretta_framework.recipe.yaml_writer import write_yaml

SMALL = """schema_version: 1
name: small
modalities:
  image: {kind: toy.symbols}
  text: {kind: toy.words, settings: {vocab_size: 9}}
data:
  train:
    - {name: captions, shards: data/a.tar, modalities: [image, text]}
"""


def faults(path: Path, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return caught.value.problems


def only_fault(path: Path, *overrides: str) -> str:
    (problem,) = faults(path, *overrides)
    return str(problem)


def test_a_recipe_is_loaded_with_defaults_and_origins(workshop: Any) -> None:
    loaded = load_recipe(workshop.recipe(), ["train.steps=9"])
    assert loaded.recipe.train.steps == 9
    assert loaded.recipe.train.batch_tokens == 256
    assert loaded.resolved["optimizer"]["lr"] == 1e-3
    origins = loaded.origins
    assert str(origins["train.steps"]) == "--set train.steps=9"
    assert origins["data.train.1.shards"].line == 15
    assert origins["data.train.1.shards"].kind == "file"
    assert origins["optimizer.lr"].kind == "default"
    assert set(origins) >= {"modalities.image.settings.size", "objectives.1.settings.every"}
    assert loaded.directory == workshop.directory.resolve()


def test_all_faults_are_reported_together_each_with_its_line(workshop: Any) -> None:
    path = workshop.recipe(
        """schema_version: 1
name: 5
modalities:
  image: {kind: toy.symbols, settings: {size: big}}
  text: {kind: toy.word}
  speech: {kind: imaginary.codes}
data:
  train:
    - {name: captions, shards: 5, modalities: [imag, text]}
    - {name: captions, shards: a.tar, modalities: []}
train: {steps: abc, batch_sze: 4, seed: -1, precision: fp8}
trian: {}
requires: [nonesuch-distribution>=2]
"""
    )
    lines = [str(problem) for problem in faults(path, "train.accumulate=0", "backbone.width=3")]
    text = "\n".join(lines)
    for expected in (
        "--set train.accumulate=0: train.accumulate: must be greater than 0, but is 0",
        "--set backbone.width=3: backbone.width: unknown key 'width'",
        f"{path}:2: name: must be text, but is 5",
        f"{path}:4: modalities.image.settings.size: must be an integer, but is 'big'",
        f"{path}:5: modalities.text.kind: unknown modality 'toy.word' (did you mean 'toy.words'?)",
        f"{path}:6: modalities.speech.kind: unknown modality 'imaginary.codes'",
        "no plugin 'imaginary' is installed",
        f"{path}:9: data.train.0.shards: must be text or a list, but is 5",
        f"{path}:9: data.train.0.modalities.imag: the modality 'imag' is not declared "
        "(did you mean 'image'?)",
        f"{path}:10: data.train.1.name: sets must have names of their own",
        f"{path}:10: data.train.1.modalities: must have at least 1 item, but has 0",
        f"{path}:11: train.steps: must be an integer, but is 'abc'",
        f"{path}:11: train.batch_sze: unknown key 'batch_sze' (did you mean 'batch_tokens'?)",
        f"{path}:11: train.seed: must be at least 0, but is -1",
        f"{path}:11: train.precision: must be one of 'auto', 'fp32' or 'bf16', but is 'fp8'",
        f"{path}:12: trian: unknown key 'trian' (did you mean 'train'?)",
        f"{path}:13: requires.0: needs nonesuch-distribution>=2, which is not installed",
    ):
        assert expected in text
    assert len(lines) == 16


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps=1.5", "must be an integer, but is 1.5"),
        ("train.steps=true", "must be an integer, but is true"),
        ("train.steps='5'", "must be an integer, but is '5'"),
        ("optimizer.lr=fast", "must be a number, but is 'fast'"),
        ("optimizer.lr=.inf", "must be a finite number, but is inf"),
        ("optimizer.lr=.nan", "must be a finite number, but is nan"),
        ("allow_disconnected=yes", "must be true or false, but is 'yes'"),
        ("train.threads=none", "must be an integer or 'auto', but is 'none'"),
        ("train.threads=0", "must be greater than 0 or 'auto', but is 0"),
        ("freeze=head.*", "must be a list, but is 'head.*'"),
        ("modalities=5", "must be a mapping, but is 5"),
        ("modalities={}", "must have at least 1 item, but has 0"),
        ("model.dropout=1", "must be less than 1, but is 1"),
        ("objectives.0.share=-0.5", "must be at least 0, but is -0.5"),
        ("optimizer.betas=[1, 1, 1]", "must have at most 2 items, but has 3"),
        ("checkpoint.keep_last=1", "must be at least 2, but is 1"),
        ("data.train.captions.missing=skp", "but is 'skp' (did you mean 'skip'?)"),
        ("name=5x", "must start with a letter and go on with letters, digits"),
        (f"name={'x' * 65}", "must have at most 64 letters, but is 'x"),
        ("schema_version=2", "must be 1, but is 2"),
        ("modalities.a b={kind: toy.symbols}", "must start with a letter and go on with"),
        ("evaluate=[{knd: x}]", "unknown key 'knd' (did you mean 'kind'?)"),
        ("evaluate=[5]", "must be text or a mapping, but is 5"),
        ("backbone={settings: {}}", "backbone.kind: must be given, but is missing"),
        ("backbone=transformer", "must be a mapping, but is 'transformer'"),
        ("data.train.captions.shards=[1]", "must be text, but is 1"),
        ("data.train=null", "must be a list, but is null"),
    ],
)
def test_values_of_the_wrong_kind(workshop: Any, override: str, message: str) -> None:
    path = workshop.recipe(SMALL)
    found = [str(problem) for problem in faults(path, override)]
    assert any(message in text and f"--set {override}" in text for text in found), found


def test_reserved_modality_names(workshop: Any) -> None:
    path = workshop.recipe(SMALL)
    text = only_fault(path, "modalities.meta={kind: toy.symbols}")
    assert f"{path}:3: modalities: a modality must not be called 'meta'" in text


def test_a_missing_section_is_told_from_an_empty_file(workshop: Any) -> None:
    path = workshop.recipe("schema_version: 1\nname: x\n")
    assert [problem.what for problem in faults(path)] == ["must be given, but is missing"] * 2
    path = workshop.recipe("")
    assert "a recipe must be a mapping" in only_fault(path)
    path = workshop.recipe("- a\n")
    assert "a recipe must be a mapping" in only_fault(path)


def test_names_that_must_be_unique(workshop: Any) -> None:
    path = workshop.recipe(SMALL + "objectives: [{kind: causal}, {kind: causal}]\n")
    assert "objectives must have names of their own" in only_fault(path)
    path = workshop.recipe(SMALL + "objectives: [{kind: causal}, {kind: causal, name: b}]\n")
    assert load_recipe(path).recipe.objectives[1].name == "b"
    path = workshop.recipe(SMALL.replace("[image, text]", "[image, text, image]"))
    assert "the modality 'image' is named twice" in only_fault(path)


def test_a_base_is_merged_and_lists_are_replaced(workshop: Any) -> None:
    workshop.recipe(SMALL + "train: {steps: 7, seed: 3}\nfreeze: [a, b]\n", "base.yaml")
    path = workshop.recipe("base: base.yaml\nname: arm\ntrain: {steps: 8}\nfreeze: [c]\n")
    loaded = load_recipe(path)
    assert loaded.recipe.name == "arm"
    assert (loaded.recipe.train.steps, loaded.recipe.train.seed) == (8, 3)
    assert loaded.recipe.freeze == ["c"]
    assert loaded.recipe.base is None
    assert loaded.base == workshop.directory / "base.yaml"
    assert loaded.origins["train.seed"].kind == "base"
    assert str(loaded.origins["train.seed"]).endswith("base.yaml:9 (base)")
    assert str(loaded.origins["train.steps"]) == f"{path}:3"


def test_changing_a_kind_drops_the_settings_of_the_base(workshop: Any) -> None:
    workshop.recipe(SMALL + "backbone: {kind: transformer, settings: {width: 64}}\n", "base.yaml")
    kept = workshop.recipe("base: base.yaml\nbackbone: {settings: {depth: 2}}\n")
    assert load_recipe(kept).recipe.backbone.settings == {"width": 64, "depth": 2}
    same = workshop.recipe("base: base.yaml\nbackbone: {kind: transformer}\n")
    assert load_recipe(same).recipe.backbone.settings == {"width": 64}
    other = workshop.recipe("base: base.yaml\nbackbone: {kind: toy.short}\n")
    loaded = load_recipe(other)
    assert loaded.recipe.backbone.settings == {}
    assert loaded.origins["backbone.settings"].kind == "default"
    new = workshop.recipe("base: base.yaml\nbackbone: {kind: toy.short, settings: {width: 3}}\n")
    assert load_recipe(new).recipe.backbone.settings == {"width": 3}


def test_faults_in_a_base_name_the_base(workshop: Any) -> None:
    base = workshop.recipe(SMALL + "train: {steps: -1}\n", "base.yaml")
    path = workshop.recipe("base: base.yaml\ntrain: {seed: x}\n")
    first, second = faults(path)
    assert first.where == f"{base}:9: train.steps"
    assert second.where == f"{path}:2: train.seed"


def test_bases_that_are_refused(workshop: Any) -> None:
    workshop.recipe(SMALL, "grand.yaml")
    workshop.recipe("base: grand.yaml\n", "base.yaml")
    assert "a base must not have a base itself" in only_fault(workshop.recipe("base: base.yaml\n"))
    assert "no such file" in only_fault(workshop.recipe("base: bse.yaml\n"))
    assert "must be the path of a recipe" in only_fault(workshop.recipe("base: [a]\n"))
    own = workshop.recipe("base: toys.yaml\n")
    assert "a base must not have a base itself" in only_fault(own)
    assert "`base` cannot be overridden" in only_fault(workshop.recipe(SMALL), "base=x.yaml")


def test_paths_of_a_base_stay_relative_to_the_base(workshop: Any) -> None:
    text = SMALL.replace(
        "shards: data/a.tar", "shards: ['data/a-*.tar', ../x.tar, '/abs/{0..9}.tar']"
    )
    workshop.recipe(text + "init_from: runs/first\n", "recipes/base.yaml")
    path = workshop.recipe("base: ../../recipes/base.yaml\n", "arms/deep/arm.yaml")
    loaded = load_recipe(path)
    shards = loaded.recipe.data.train[0].shards
    assert shards == ["../../recipes/data/a-*.tar", "../../x.tar", "/abs/{0..9}.tar"]
    assert loaded.recipe.init_from == "../../recipes/runs/first"
    beside = workshop.recipe("base: base.yaml\n", "recipes/arm.yaml")
    assert load_recipe(beside).recipe.data.train[0].shards[0] == "data/a-*.tar"
    own = workshop.recipe(
        "base: ../recipes/base.yaml\n"
        "data: {train: [{name: own, shards: b.tar, modalities: [image, text]}]}\n",
        "arms/own.yaml",
    )
    assert load_recipe(own).recipe.data.train[0].shards == "b.tar"


def test_paths_of_a_base_hold_behind_links(workshop: Any) -> None:
    far = workshop.directory / "far" / "away"
    far.mkdir(parents=True)
    (workshop.directory / "near").symlink_to(far)
    workshop.recipe(SMALL.replace("data/a.tar", "../a.tar"), "far/away/base.yaml")
    path = workshop.recipe("base: ../near/base.yaml\n", "arms/arm.yaml")
    loaded = load_recipe(path)
    pattern = str(loaded.recipe.data.train[0].shards)
    found = os.path.normpath(loaded.directory / pattern)
    assert found == str((workshop.directory / "far" / "a.tar").resolve())


def test_a_resolved_recipe_can_move_and_come_back(workshop: Any) -> None:
    loaded = load_recipe(workshop.recipe(SMALL.replace("data/a.tar", "'../data/[a]*.tar'")))
    away = workshop.directory / "runs" / "one"
    away.mkdir(parents=True)
    moved = loaded.resolved_for(away)
    assert moved["data"]["train"][0]["shards"] == "../../../data/[a]*.tar"
    path = workshop.recipe(write_yaml(moved), "runs/one/recipe.yaml")
    again = load_recipe(path)
    assert again.resolved_for(loaded.directory) == loaded.resolved


def test_a_resolved_recipe_loads_to_itself(workshop: Any) -> None:
    loaded = load_recipe(workshop.recipe(), ["optimizer.lr=1e-5", "name=other"])
    again = load_recipe(workshop.recipe(write_yaml(loaded.resolved), "again.yaml"))
    assert again.resolved == loaded.resolved
    assert again.recipe == loaded.recipe


def outcome(path: Path, *overrides: str) -> tuple[list[str], LoadedRecipe | None]:
    try:
        return [], load_recipe(path, overrides)
    except RecipeError as error:
        return [problem.where for problem in error.problems], None


def keys_of(loaded: LoadedRecipe) -> list[str]:
    return sorted(loaded.origins)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "x", "toy.words"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "settings", "name", "train", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), junk=JUNK)
def test_no_value_in_any_place_gives_anything_but_a_recipe_error(
    workshop: Any, data: st.DataObject, junk: Any
) -> None:
    path = workshop.recipe()
    key = data.draw(st.sampled_from(keys_of(load_recipe(path))))
    scalar = not isinstance(junk, dict | list)
    text = write_yaml(junk).strip() if scalar else "[{}, {x: 1}]"
    places, loaded = outcome(path, f"{key}={text}")
    assert all(places)
    if loaded is not None:
        assert parse_yaml(write_yaml(loaded.resolved), "x").data == loaded.resolved
    base = parse_yaml(path.read_text(encoding="utf-8"), "x").data
    section = data.draw(st.sampled_from(sorted(base)))
    broken = workshop.recipe(write_yaml({**base, section: junk}), "broken.yaml")
    places, _ = outcome(broken)
    assert all(str(broken) in place for place in places)
