"""The class of generations: hand-built models, honest judges."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loretta_framework.evaluate.class_consistency import ClassConsistency, bridge_path
from loretta_framework.evaluate.judging import Appointed, Judges
from loretta_framework.evaluate.settings import ClassConsistencySettings


def measure(context: object, **settings: object) -> dict[str, Any]:
    chosen = ClassConsistencySettings(**{"generations": 200, "chained_generations": 60, **settings})  # type: ignore[arg-type]
    return ClassConsistency(chosen).evaluate(context)  # type: ignore[arg-type]


def test_a_perfect_generator_is_judged_perfect(world: SimpleNamespace) -> None:
    found = measure(world.context("oracle"))
    assert len(found["edges"]) == 6
    for figures in found["edges"].values():
        assert figures["class_accuracy"]["value"] > 0.98
        assert figures["within_class_variance_ratio"]["value"] == pytest.approx(1.0, abs=0.2)
        low, high = figures["within_class_token_variance_ratio"]["interval"]
        assert low < figures["within_class_token_variance_ratio"]["value"] < high
    for judge in found["judges"].values():
        assert judge["judge_accuracy"]["value"] > 0.98
        assert judge["judge_accuracy_round_trip"]["value"] > 0.98
        assert judge["classes"] == [*"0123456789"]


def test_a_model_without_the_link_is_at_chance_there_and_chaining_is_not(
    world: SimpleNamespace,
) -> None:
    edges = measure(world.context("commutative"))["edges"]
    for source, target in (("image", "speech"), ("speech", "image")):
        figures = edges[f"{source}->{target}"]
        low, high = figures["class_accuracy"]["interval"]
        assert low <= 0.1 <= high
        assert figures["class_accuracy"]["value"] < 0.2
        assert figures["chained_class_accuracy"]["value"] > 0.98
        assert figures["chained_class_accuracy"]["path"] == [source, "text", target]
    assert edges["text->image"]["class_accuracy"]["value"] > 0.98
    assert "chained_class_accuracy" not in edges["text->image"]


def test_a_model_that_repeats_itself_is_found_out(world: SimpleNamespace) -> None:
    edges = measure(world.context("oracle"), temperature=0.0)["edges"]
    for figures in edges.values():
        assert figures["class_accuracy"]["value"] > 0.98
        assert figures["within_class_variance_ratio"]["value"] < 0.05
        assert figures["within_class_token_variance_ratio"]["value"] < 0.05


def test_the_judge_learns_from_training_samples_alone(world: SimpleNamespace) -> None:
    asked: list[tuple[str, int]] = []

    def training(modality: str, limit: int) -> list[Any]:
        asked.append((modality, limit))
        return world.samples(100, "train", (modality,))[:limit]

    context = world.context("oracle", training=training)
    judges = Judges(context, ClassConsistencySettings(judge_samples=80))
    appointed = judges.of("speech")
    assert isinstance(appointed, Appointed)
    assert asked == [("speech", 80)]
    assert appointed.judge.keys == {s.key for s in world.samples(80, "train")}
    assert not appointed.judge.keys & {sample.key for sample in context.samples}
    assert judges.of("speech") is appointed
    assert asked == [("speech", 80)]


def test_a_judge_of_shuffled_classes_does_not_recognise_real_ones(world: SimpleNamespace) -> None:
    """A judge that had seen the test samples would."""

    def training(modality: str, limit: int) -> list[Any]:
        samples = world.samples(300, "train", (modality,))
        order = np.random.default_rng(0).permutation(len(samples))
        return [
            type(s)(s.key, samples[i].label, s.parts, s.tokens)
            for s, i in zip(samples, order, strict=True)
        ]

    found = measure(world.context("oracle", training=training), edges="unobserved")
    assert found["judges"]["image"]["judge_accuracy"]["value"] < 0.4
    assert found["edges"]["speech->image"]["class_accuracy"]["value"] < 0.4


def test_generations_of_one_source_count_as_one_unit(world: SimpleNamespace) -> None:
    """Few sources: many generations of each must not narrow the interval."""
    samples = world.samples(10, "triples")
    many = measure(world.context("commutative", samples), generations=1000, edges="unobserved")
    few = measure(world.context("commutative", samples), generations=100, edges="unobserved")
    for found in (many, few):
        figures = found["edges"]["speech->image"]["class_accuracy"]
        assert figures["interval"][0] <= figures["value"] <= figures["interval"][1]
    assert many["edges"]["speech->image"]["class_accuracy"]["value"] == pytest.approx(0.1, abs=0.05)


def test_at_least_the_generations_asked_for_with_several_per_source(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loretta_framework.evaluate import class_consistency

    counts: list[int] = []
    real = class_consistency.rollout

    def counting(model: Any, requests: Any, *arguments: Any, **options: Any) -> Any:
        counts.append(len(requests))
        return real(model, requests, *arguments, **options)

    monkeypatch.setattr(class_consistency, "rollout", counting)
    measure(world.context("oracle"), generations=130, edges="unobserved", chained_generations=50)
    assert counts == [132, 50, 132, 50]


def test_the_same_seed_gives_the_same_figures(world: SimpleNamespace) -> None:
    first = measure(world.context("commutative"), edges="unobserved")
    assert measure(world.context("commutative"), edges="unobserved") == first
    assert measure(world.context("commutative", seed=1), edges="unobserved") != first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (lambda w: {"tokenizers": {"image": w.Plain()}}, "'image' offers no features"),
        (lambda w: {"samples": w.samples(20, "t", labelled=False)}, "carry no label"),
        (
            lambda w: {"training": lambda name, limit: w.samples(9, "x", labelled=False)},
            "give the training sets a label",
        ),
    ],
)
def test_what_cannot_be_judged_is_null_with_a_reason(
    world: SimpleNamespace, changes: Any, reason: str
) -> None:
    found = measure(world.context("oracle", **changes(world)), edges="unobserved")
    figures = found["edges"]["speech->image"]
    for metric in ("class_accuracy", "chained_class_accuracy", "within_class_variance_ratio"):
        assert figures[metric] is None
        assert reason in figures[f"{metric}_reason"]
    assert reason in found["judges"]["image"]["reason"]


def test_the_bridge_runs_from_source_to_target(world: SimpleNamespace) -> None:
    plan = world.context("oracle").plan
    assert bridge_path(plan, "speech", "image") == ("speech", "text", "image")
    assert bridge_path(plan, "image", "speech") == ("image", "text", "speech")
    assert bridge_path(plan, "image", "text") is None
