"""Plans, recipes, keys and graphs as text and pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import InputError
from loretta_framework.recipe.draw import FORMATS
from loretta_framework.recipe.engine import check_components, make_plan
from loretta_framework.recipe.explain import explain
from loretta_framework.recipe.fill import filled_text
from loretta_framework.recipe.hashes import completed
from loretta_framework.recipe.load import LoadedRecipe, load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import plan_text, recipe_difference, recipe_text


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(path, overrides))


def complete(loaded: LoadedRecipe) -> dict[str, Any]:
    return completed(loaded.resolved, check_components(loaded)[0])


def explained(path: Path, key: str, *overrides: str) -> list[str]:
    loaded = load_recipe(path, overrides)
    components, registry = check_components(loaded)
    return explain(loaded, components, make_plan(loaded, registry), key).splitlines()


def test_the_plan_tells_everything_it_decided(workshop: Any) -> None:
    plan = plan_of(workshop.recipe())
    text = plan_text(plan)
    for expected in (
        plan.hash,
        plan.recipe_hash,
        plan.data_hash,
        "64 ids",
        "ids 29..50  1..5 tokens a segment, then an end id",
        "image - text   10 samples  in captions",
        "image - speech  bridged by image - text - speech",
        "components: image, text, speech",
        "10 x image + text",
        "share 0.5, 12 samples, 2 shards, missing: keep",
        "9 samples a step of 13 tokens, 9 more before step 50",
        "from step 50, 4 steps at once",
        "100 steps sized for 256 tokens, seed 7",
        "transformer v1 of loretta-framework",
        "toy.symbols v3 of loretta-plugin-toy 0.4: max_bytes 67108864, size 10, length 6",
        "data.train.captions.share: 0.5; it gives no share",
        "loretta-plugin-toy 0.4",
    ):
        assert expected in text


def test_differences_are_named_by_key(workshop: Any) -> None:
    path = workshop.recipe()
    old = load_recipe(path).resolved
    new = load_recipe(
        path,
        [
            "train.steps=5",
            "data.train.captions.share=2",
            "objectives.1.kind=toy.late",
            "freeze=[a]",
            "backbone.settings.width=64",
        ],
    ).resolved
    lines = recipe_difference(old, new)
    assert "  train.steps: 100 -> 5" in lines
    assert "  data.train.captions.share: null -> 2.0" in lines
    assert "+ objectives.toy.late.kind: toy.late" in lines
    assert "- objectives.transitive.settings.every: 4" in lines
    assert "+ backbone.settings.width: 64" in lines
    assert "  freeze: [] -> [a]" in lines
    assert recipe_difference(old, old) == []


def test_a_filled_recipe_is_the_same_experiment(workshop: Any) -> None:
    path = workshop.recipe()
    loaded = load_recipe(path, ["optimizer.lr=1e-5", "evaluate=[likelihood, retrieval]"])
    text = filled_text(loaded, check_components(loaded)[0])
    again = load_recipe(workshop.recipe(text, "filled.yaml"))
    assert complete(again) == complete(loaded)
    assert make_plan(again).hash == make_plan(loaded).hash
    assert again.origins["optimizer.warmup_steps"].kind == "file"
    assert filled_text(again, check_components(again)[0]) == text
    for comment in (
        "  # Peak learning rate.\n  lr: 1e-05\n",
        "      # Number of symbols.\n      size: 10\n",
        "\n# Length, size and numerics.\ntrain:\n  # Optimiser steps.\n  steps: 100\n",
    ):
        assert comment in text


def test_a_filled_recipe_may_lie_elsewhere(workshop: Any) -> None:
    loaded = load_recipe(workshop.recipe())
    folder = workshop.directory / "a" / "b"
    text = filled_text(loaded, check_components(loaded)[0], folder)
    again = load_recipe(workshop.recipe(text, "a/b/filled.yaml"))
    assert again.recipe.data.train[1].shards == "../../data/readings.tar"
    assert make_plan(again).hash == make_plan(loaded).hash


def test_recipe_text_loads_to_itself(workshop: Any) -> None:
    loaded = load_recipe(workshop.recipe())
    again = load_recipe(workshop.recipe(recipe_text(loaded.resolved), "again.yaml"))
    assert again.resolved == loaded.resolved


def test_a_key_is_explained(workshop: Any) -> None:
    path = workshop.recipe()
    assert explained(path, "train.steps") == [
        "train.steps: 100",
        f"from: {path}:21",
        "about: Optimiser steps.",
    ]
    assert explained(path, "train.steps", "train.steps=7")[:2] == [
        "train.steps: 7",
        "from: override --set train.steps=7",
    ]
    assert explained(path, "modalities.speech.settings.length") == [
        "modalities.speech.settings.length: 4",
        "from: default",
        "about: Symbols in a value.",
    ]
    assert explained(path, "data.train.0.share") == explained(path, "data.train.captions.share")
    assert explained(path, "data.train.captions.share")[-1].startswith("automatic: 0.5; it gives")
    assert any(
        line.startswith("automatic: objectives.transitive.settings.start: step 50")
        for line in explained(path, "objectives")
    )
    arm = workshop.recipe("base: toys.yaml\nname: arm\n", "arm.yaml")
    assert explained(arm, "train.seed")[1].endswith("toys.yaml:21 (base)")


def test_an_unknown_key_names_the_nearest(workshop: Any) -> None:
    path = workshop.recipe()
    for key in ("train.step", "", "train.steps.x"):
        with pytest.raises(InputError, match="the recipe has no key"):
            explained(path, key)
    with pytest.raises(InputError, match=r"did you mean 'train\.steps'"):
        explained(path, "train.step")


def test_the_graph_as_text_and_mermaid(workshop: Any) -> None:
    workshop.shard("data/alone.tar", {"end.x": 2})
    plan = plan_of(
        workshop.recipe(),
        "modalities.end={kind: toy.symbols}",
        "allow_disconnected=true",
        "data.test=[]",
        "data.train=[{name: captions, shards: data/captions-*.tar, modalities: [image, text]},"
        "{name: readings, shards: data/readings.tar, modalities: [text, speech]},"
        "{name: alone, shards: data/alone.tar, modalities: [end]}]",
    )
    text = FORMATS["text"](plan).splitlines()
    assert text[0].split() == ["image", "---", "text", "10", "samples", "in", "captions"]
    assert "missing; bridged by image - text - speech" in text[2]
    assert text[3].split() == ["end", "alone"]
    mermaid = FORMATS["mermaid"](plan)
    assert mermaid.startswith("graph LR\n")
    assert '  m0 ---|"10"| m1\n' in mermaid
    assert '  m0 -.-|"missing"| m2\n' in mermaid
    assert 'm3(["end"])' in mermaid


def test_the_picture_is_sound_and_self_contained(workshop: Any) -> None:
    plan = plan_of(workshop.recipe())
    text = FORMATS["svg"](plan)
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    words = [item.text for item in root.iter(f"{space}text")]
    assert {"image", "text", "speech", "10", "8", "toys"} <= set(words)
    lines = [item.attrib for item in root.iter(f"{space}line")]
    kinds = [line["class"] for line in lines]
    assert kinds.count("observed") == 3  # two pairs and the legend
    assert kinds.count("missing") == 2
    for item in root.iter(f"{space}rect"):
        x, y = float(item.get("x", 0)), float(item.get("y", 0))
        assert x >= 0
        assert y >= 0
        assert x + float(item.attrib["width"]) <= width
        assert y + float(item.attrib["height"]) <= height
    assert "href" not in text
    assert "script" not in text
