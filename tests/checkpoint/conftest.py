"""A small plan and recipe that tests change in one place at a time."""

import pytest

from loretta_framework.api.specs import Bounds
from loretta_framework.graph import ModalityGraph
from loretta_framework.recipe.plan import (
    ComponentPlan,
    ModalityPlan,
    Plan,
    Reason,
    SetPlan,
    TaskPlan,
)
from loretta_framework.recipe.schema import Recipe
from loretta_framework.sequence.vocabulary import Vocabulary


@pytest.fixture
def recipe():
    """A resolved recipe with something in every list, as plain data."""
    one = {"name": "pairs", "shards": "a-*.tar", "modalities": ["image", "text"]}
    data = {
        "schema_version": 1,
        "name": "toy",
        "modalities": {
            "image": {"kind": "image.codes", "settings": {"size": 8}},
            "text": {"kind": "text_bytes", "settings": {"max_tokens": 4}},
        },
        "data": {"train": [one], "validation": [one], "test": [{**one, "label": "meta.digit"}]},
        "backbone": {"kind": "transformer", "settings": {"width": 32}},
        "objectives": [{"kind": "causal"}, {"kind": "other", "settings": {"every": 8}}],
        "optimizer": {"groups": [{"match": "backbone.*", "lr": 0.1}]},
        "callbacks": [{"kind": "progress"}],
        "evaluate": ["likelihood"],
    }
    return Recipe.model_validate(data).model_dump(mode="json")


@pytest.fixture
def plan():
    """A plan of that recipe, as an engine could make it."""
    image = ComponentPlan("image.codes", 1, "loretta-plugin-image 0.1.0", {"size": 8})
    text = ComponentPlan("text_bytes", 2, "loretta-framework 0.1.0", {"max_tokens": 4})
    own = "loretta-framework 0.1.0"
    names = ("image", "text")
    return Plan(
        name="toy",
        seed=0,
        steps=1000,
        batch_tokens=4096,
        shuffle_rows=65_536,
        modalities=(ModalityPlan("image", image, True), ModalityPlan("text", text, False)),
        vocabulary=Vocabulary.build({"image": Bounds(16, 4, 4), "text": Bounds(256, 1, 4)}),
        graph=ModalityGraph(names, ((names, 10),)),
        components=(names,),
        bridges=(),
        sets=(
            SetPlan(
                name="pairs",
                split="train",
                shards=("/data/a-0.tar",),
                modalities=names,
                share=1.0,
                missing="keep",
                label=None,
                samples=10,
                combinations=((names, 10),),
                source=ComponentPlan("plain.source", 1, own, {}),
            ),
        ),
        tasks=(
            TaskPlan(
                name="causal",
                component=ComponentPlan("causal", 1, own, {}),
                share=1.0,
                weight=1.0,
                start_step=0,
                every=1,
                samples_per_step=32,
                extra_samples=((500, 16),),
                sequence_tokens=9.5,
            ),
        ),
        backbone=ComponentPlan("transformer", 1, own, {"width": 32}),
        recipe_hash="r" * 64,
        data_hash="d" * 64,
        reasons=(Reason("train.precision", "fp32", "no accelerator"),),
        versions={"torch": "2.13.0"},
    )
