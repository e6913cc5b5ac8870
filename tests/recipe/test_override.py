"""`--set`: addresses, types, conflicts, and independence of order."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.api.errors import LorettaError, RecipeError
from loretta_framework.recipe.load import load_recipe


def loaded(path: Path, *overrides: str) -> dict[str, Any]:
    return load_recipe(path, overrides).resolved


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def test_list_items_are_addressed_by_name_or_index(workshop: Any) -> None:
    path = workshop.recipe()
    data = loaded(
        path,
        "data.train.captions.share=2",
        "data.train.1.share=3",
        "objectives.transitive.share=0.3",
        "objectives.0.settings.order=declared",
    )
    assert [item["share"] for item in data["data"]["train"]] == [2.0, 3.0]
    assert data["objectives"][1]["share"] == 0.3
    assert data["objectives"][0]["settings"] == {"order": "declared"}


def test_names_with_dots_address_items_too(workshop: Any) -> None:
    path = workshop.recipe()
    objectives = "objectives: [{kind: causal}, {kind: toy.late}]"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("objectives:"), text.index("train: {steps")
    path = workshop.recipe(f"{text[:start]}{objectives}\n{text[end:]}")
    data = loaded(path, "objectives.toy.late.share=2", "objectives.toy.late.settings.start=0.5")
    assert data["objectives"][1]["share"] == 2
    assert data["objectives"][1]["settings"] == {"start": 0.5}
    assert "'objectives' has no item 'toy'" in refusal(path, "objectives.toy.lat.share=2")


def test_sections_that_the_file_leaves_out_start_from_their_defaults(workshop: Any) -> None:
    text = workshop.recipe().read_text(encoding="utf-8").replace("callbacks: []\n", "")
    start = text.index("objectives:")
    path = workshop.recipe(text[:start] + text[text.index("train: {steps") :])
    data = loaded(
        path,
        "backbone.settings.width=32",
        "objectives.causal.share=0.25",
        "callbacks.progress.settings.every=3",
        "evaluate.likelihood.settings.limit=4",
        "optimizer.groups=[{match: a}]",
        "model.dropout=0.5",
    )
    assert data["backbone"] == {"kind": "transformer", "settings": {"width": 32}}
    assert data["objectives"][0]["share"] == 0.25
    assert data["callbacks"] == [{"kind": "progress", "settings": {"every": 3}}]
    assert data["evaluate"] == [{"kind": "likelihood", "settings": {"limit": 4}}]
    assert data["model"]["dropout"] == 0.5


def test_values_are_read_as_in_the_file(workshop: Any) -> None:
    path = workshop.recipe()
    assert loaded(path, "optimizer.lr=1e-4")["optimizer"]["lr"] == 1e-4
    assert loaded(path, "name=NO")["name"] == "NO"
    assert loaded(path, "train.validate_every=")["train"]["validate_every"] is None
    assert loaded(path, "freeze=[a.*, b]")["freeze"] == ["a.*", "b"]
    assert loaded(path, "data.train.captions.label='a=b'")["data"]["train"][0]["label"] == "a=b"


def test_a_source_may_be_added_to_a_set(workshop: Any) -> None:
    data = loaded(workshop.recipe(), "data.train.captions.source.kind=toy.rename")
    assert data["data"]["train"][0]["source"] == {"kind": "toy.rename", "settings": {}}


def test_changing_a_kind_drops_old_settings_in_any_order(workshop: Any) -> None:
    path = workshop.recipe()
    changes = ["modalities.image.kind=toy.words", "modalities.image.settings.vocab_size=5"]
    for order in permutations(changes):
        assert loaded(path, *order)["modalities"]["image"] == {
            "kind": "toy.words",
            "settings": {"vocab_size": 5},
        }
    same = loaded(path, "modalities.image.kind=toy.symbols")["modalities"]["image"]
    assert same["settings"] == {"size": 10, "length": 6}
    objective = loaded(path, "objectives.transitive.kind=toy.late")["objectives"][1]
    assert (objective["kind"], objective["settings"], objective["share"]) == ("toy.late", {}, 0.5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.steps"], "--set train.steps: an override must be 'key.key=value'"),
        (["=5"], "an override must be"),
        (["train..steps=5"], "an override must be"),
        (["train.steps=[1"], "--set train.steps=[1: not valid YAML"),
        (["train.steps=!!int 5"], "tags are refused"),
        (["train.steps={a: 1, a: 2}"], "the key 'a' is given twice"),
        (["trian.steps=5"], "unknown key 'trian' (did you mean 'train'?)"),
        (["train.stepz=5"], "train.stepz: unknown key 'stepz' (did you mean 'steps'?)"),
        (["train.steps.x=5"], "'train.steps' must be a mapping to have a key 'x', but is 100"),
        (
            ["data.train.caption.share=2"],
            "'data.train' has no item 'caption' (did you mean 'captions'?)\n"
            "  -> its items: captions, readings",
        ),
        (["data.train.7.share=2"], "'data.train' has no item '7'"),
        (["train.steps=5", "train.steps=6"], "sets the same key as '--set train.steps=5'"),
        (
            ["data.train.captions.share=1", "data.train.0.share=1"],
            "sets the same key as '--set data.train.captions.share=1'",
        ),
        (["train={steps: 5}", "train.seed=6"], "sets what is also set by '--set train={steps: 5}'"),
        (["train.seed=6", "train={steps: 5}"], "sets what is also set by '--set train.seed=6'"),
        (
            ["modalities.image.settings.sizee=5"],
            "modalities.image.settings.sizee: unknown key 'sizee' (did you mean 'size'?)",
        ),
    ],
)
def test_refusals(workshop: Any, overrides: list[str], message: str) -> None:
    path = workshop.recipe()
    if "settings" in message:
        from loretta_framework.recipe.engine import make_plan

        with pytest.raises(RecipeError) as caught:
            make_plan(load_recipe(path, overrides))
        assert message in str(caught.value)
        assert f"--set {overrides[0]}" in str(caught.value)
    else:
        assert message in refusal(path, *overrides)


def test_items_of_one_name_need_an_index(workshop: Any) -> None:
    path = workshop.recipe()
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "callbacks: []", "callbacks: [{kind: progress}, {kind: progress}]"
        ),
        encoding="utf-8",
    )
    text = refusal(path, "callbacks.progress.settings.x=1")
    assert "'callbacks' has several items 'progress'\n  -> address one by its index: 0 or 1" in text
    assert loaded(path, "callbacks.1.settings.x=1")["callbacks"][1]["settings"] == {"x": 1}


CHOICES = {
    "train.steps": [5, 6],
    "train.seed": [1],
    "optimizer.lr": ["1e-4"],
    "backbone.kind": ["toy.short", "transformer"],
    "backbone.settings.width": [16],
    "modalities.image.kind": ["toy.words"],
    "modalities.image.settings.vocab_size": [4],
    "data.train.captions.share": [2],
    "data.train.readings.missing": ["skip"],
    "objectives.transitive.kind": ["toy.late"],
    "objectives.transitive.settings.start": [0.75],
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_the_order_of_overrides_never_matters(workshop: Any, data: st.DataObject) -> None:
    path = workshop.recipe()
    keys = data.draw(st.lists(st.sampled_from(sorted(CHOICES)), unique=True, max_size=6))
    overrides = [f"{key}={data.draw(st.sampled_from(CHOICES[key]))}" for key in keys]
    shuffled = data.draw(st.permutations(overrides))
    assert loaded(path, *overrides) == loaded(path, *shuffled)
    assert load_recipe(path, overrides).origins == load_recipe(path, shuffled).origins


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.train.0.shards=http://[::1/x.tar?sig=SECRET"], "cannot be used"),
        (["data.train.0.shards=['http://[::1/x.tar?sig=SECRET', b.tar]"], "cannot be used"),
        (["data.train.0.shards=https://h/*.tar?sig=SECRET"], "'*' cannot be used over http"),
        (["data.train.9.shards=https://h/x.tar?sig=SECRET,x"], "has no item '9'"),
        (["data.train.0.shards=https://h/x.tar?sig=SECRET"] * 2, "sets the same key as"),
    ],
)
def test_the_query_of_a_url_is_not_shown(workshop: Any, overrides: list[str], message: str) -> None:
    from loretta_framework.recipe.engine import make_plan

    with pytest.raises(LorettaError) as caught:
        make_plan(load_recipe(workshop.recipe(), overrides))
    assert message in str(caught.value)
    assert "?..." in str(caught.value)
    assert "SECRET" not in str(caught.value)
