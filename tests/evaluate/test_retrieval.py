"""Retrieval by likelihood: perfect, blind, and what is ranked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from loretta_framework.data.values import ValueSample
from loretta_framework.evaluate import pairs
from loretta_framework.evaluate.pairs import likelihood_matrix
from loretta_framework.evaluate.retrieval import Retrieval
from loretta_framework.evaluate.selection import balanced, directed_pairs
from loretta_framework.evaluate.settings import RetrievalSettings
from loretta_framework.generation.score import score_rows
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import small_model, small_sample


def measure(context: object, **settings: object) -> dict[str, dict[str, object]]:
    chosen = RetrievalSettings(**{"candidates": 20, **settings})  # type: ignore[arg-type]
    return Retrieval(chosen).evaluate(context)["edges"]  # type: ignore[arg-type]


def test_an_oracle_retrieves_everything(world: SimpleNamespace) -> None:
    edges = measure(world.context("oracle"), edges="all")
    assert len(edges) == 6
    for figures in edges.values():
        assert figures["retrieval_at_1"]["value"] == 1.0  # type: ignore[index]
        assert figures["target_ranking_at_1"]["value"] == 1.0  # type: ignore[index]


def test_a_blind_model_is_at_chance_on_the_unseen_pair_only(world: SimpleNamespace) -> None:
    edges = measure(world.context("commutative"), edges="all")
    for name in ("image->speech", "speech->image"):
        assert edges[name]["retrieval_at_1"]["value"] == pytest.approx(0.1)  # type: ignore[index]
    assert edges["text->speech"]["retrieval_at_1"]["value"] == 1.0  # type: ignore[index]


def test_only_unseen_pairs_by_default_and_all_where_none_is_unseen(world: SimpleNamespace) -> None:
    assert set(measure(world.context("oracle"))) == {"image->speech", "speech->image"}
    everything = (("image", "text"), ("text", "speech"), ("image", "speech"))
    assert len(measure(world.context("oracle", observed=everything))) == 6


def test_the_matrix_is_log_p_of_target_given_source(world: SimpleNamespace) -> None:
    samples = world.samples(10, "triples")
    context = world.context("oracle", samples)
    scores_SG = likelihood_matrix(context.model.model, samples, "speech", "image")
    assert scores_SG.shape == (10, 10)
    assert np.diag(scores_SG) == pytest.approx(-4 * np.log(2), abs=1e-3)
    assert (scores_SG[~np.eye(10, dtype=bool)] < -100).all()
    for source, target in ((0, 0), (3, 7)):
        expected = context.model.score(
            {"speech": dict(samples[source].parts)["speech"]},
            {"image": dict(samples[target].parts)["image"]},
        )
        assert scores_SG[source, target] == pytest.approx(expected, abs=1e-3)


def test_sources_are_ranked_per_target(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One target is likely under every source: that ruins ranking targets, not ranking sources."""

    def scores(model: object, samples: list[object], source: str, target: str) -> np.ndarray:
        labels = np.array([sample.label for sample in samples])  # type: ignore[attr-defined]
        matrix_SG = np.where(labels[:, None] == labels[None, :], -5.0, -9.0)
        matrix_SG[:, 0] += 100
        return matrix_SG

    monkeypatch.setattr("loretta_framework.evaluate.retrieval.likelihood_matrix", scores)
    figures = measure(world.context("ignorant"))["speech->image"]
    assert figures["retrieval_at_1"]["value"] == 1.0  # type: ignore[index]
    assert figures["target_ranking_at_1"]["value"] == pytest.approx(0.1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (lambda w: w.samples(20, "t", labelled=False), "carry no label"),
        (lambda w: w.samples(20, "t")[::10], "all of one class, '0'"),
        (
            lambda w: w.samples(5, "a", ("image",)) + w.samples(5, "b", ("speech",)),
            "no test sample has image and speech",
        ),
    ],
)
def test_what_cannot_be_computed_is_null_with_a_reason(
    world: SimpleNamespace, samples: object, reason: str
) -> None:
    edges = measure(world.context("oracle", samples(world)))  # type: ignore[operator]
    figures = edges["image->speech"]
    assert figures["retrieval_at_1"] is None
    assert reason in str(figures["retrieval_at_1_reason"])


def test_candidates_are_balanced_and_do_not_depend_on_reading_order(
    world: SimpleNamespace,
) -> None:
    samples = world.samples(60, "triples") + world.samples(100, "more")[::10]
    chosen = balanced(samples, 20, seed=0)
    assert sorted(sample.label for sample in chosen) == sorted([*"0123456789"] * 2)
    assert balanced(samples[::-1], 20, seed=0) == chosen
    assert balanced(samples, 20, seed=1) != chosen
    assert len(balanced(samples, 1000, seed=0)) == len(samples)


def test_pairs_follow_the_plan(world: SimpleNamespace) -> None:
    context = world.context("oracle")
    assert directed_pairs(context.plan, context.samples)[0] == ("image", "text")
    unseen = directed_pairs(context.plan, context.samples, "unobserved")
    assert unseen == [("image", "speech"), ("speech", "image")]


def test_sharing_a_source_among_targets_changes_no_likelihood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against whole rows through a real Transformer; lengths vary, so targets are padded."""
    model = small_model()
    samples = [
        ValueSample(sample.key, None, (), sample)
        for sample in (small_sample(i, "image", "text", "speech") for i in range(7))
    ]
    monkeypatch.setattr(pairs, "TARGETS_AT_ONCE", 3)
    for source, target in (("speech", "text"), ("text", "image"), ("image", "speech")):
        rows = [
            build_row(
                model.vocabulary,
                [
                    Segment(source, given.tokens.tokens(source), 0.0),
                    Segment(target, wanted.tokens.tokens(target)),
                ],
            )
            for given in samples
            for wanted in samples
        ]
        slow_SG = -np.array([score.nats for score in score_rows(model, rows)]).reshape(7, 7)
        fast_SG = likelihood_matrix(model, samples, source, target)
        np.testing.assert_allclose(fast_SG, slow_SG, atol=2e-4)
        assert np.ptp(slow_SG) > 1
