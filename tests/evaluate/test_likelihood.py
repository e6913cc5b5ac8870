"""Likelihoods against closed forms of the hand-built models."""

from __future__ import annotations

from dataclasses import replace
from math import log
from types import SimpleNamespace

import pytest

from loretta_framework.evaluate.likelihood import Likelihood
from loretta_framework.evaluate.settings import LikelihoodSettings
from loretta_framework.sequence.vocabulary import Vocabulary

TOLERANCE = 1e-3


def measure(context: object, **settings: object) -> dict[str, dict[str, dict[str, object]]]:
    return Likelihood(LikelihoodSettings(**settings)).evaluate(context)["edges"]  # type: ignore[arg-type]


def test_every_directed_edge_and_every_modality_alone(world: SimpleNamespace) -> None:
    edges = measure(world.context("oracle"))
    alone = {f"->{name}" for name in world.names}
    pairs = {f"{a}->{b}" for a in world.names for b in world.names if a != b}
    assert set(edges) == alone | pairs


def test_an_oracle_pays_for_the_free_bits_only(world: SimpleNamespace) -> None:
    edges = measure(world.context("oracle"))
    for name, figures in edges.items():
        expected = 4 * log(2) if not name.startswith("->") else log(20) + 3 * log(2)
        assert figures["nats_per_sample"]["value"] == pytest.approx(expected, abs=TOLERANCE)
        assert figures["nats_per_token"]["value"] == pytest.approx(expected / 4, abs=TOLERANCE)
        low, high = figures["nats_per_sample"]["interval"]
        assert low <= figures["nats_per_sample"]["value"] + TOLERANCE
        assert high - low < TOLERANCE


def test_an_unseen_pair_costs_what_the_model_does_not_know(world: SimpleNamespace) -> None:
    edges = measure(world.context("commutative"))
    seen, unseen = edges["text->image"], edges["speech->image"]
    assert seen["nats_per_sample"]["value"] == pytest.approx(4 * log(2), abs=TOLERANCE)
    assert unseen["nats_per_sample"]["value"] == pytest.approx(log(20) + 3 * log(2), abs=TOLERANCE)


def test_wrong_pairs_cost_more_and_widen_the_interval(world: SimpleNamespace) -> None:
    samples = world.samples(60, "triples")
    others = world.samples(61, "others")[1:]
    mixed = [
        type(a)(
            a.key,
            a.label,
            a.parts,
            type(a.tokens)(a.key, (("text", b.tokens.tokens("text")), a.tokens.parts[0])),
        )
        for a, b in zip(samples[:30], others, strict=False)
    ]
    edges = measure(world.context("oracle", [*samples[30:], *mixed]))
    figures = edges["text->image"]["nats_per_sample"]
    assert figures["value"] > 40
    assert figures["interval"][1] - figures["interval"][0] > 10


def test_modalities_that_the_test_samples_lack_have_no_edges(world: SimpleNamespace) -> None:
    samples = world.samples(20, "pairs", ("image", "text"))
    edges = measure(world.context("oracle", samples))
    assert set(edges) == {"->image", "->text", "image->text", "text->image"}


def test_a_pair_that_no_sample_has_is_left_out(world: SimpleNamespace) -> None:
    samples = world.samples(5, "a", ("image",)) + world.samples(5, "b", ("speech", "text"))
    edges = measure(world.context("oracle", samples))
    assert "speech->text" in edges
    assert "image->text" not in edges


def test_a_limit_is_kept_evenly_over_classes(world: SimpleNamespace) -> None:
    context = world.context("commutative")
    assert measure(context, limit=10) == measure(context, limit=10)
    assert measure(context, limit=10)["->text"]["nats_per_sample"]["value"] > 0


def test_samples_of_which_slots_leave_nothing_are_told_and_not_counted(
    world: SimpleNamespace,
) -> None:
    samples = [sample for sample in world.samples(30, "triples") if sample.label != "9"]
    context = world.context("oracle", samples)
    blocks = tuple(
        replace(block, slots=(range(19, 20),) * 4) if block.modality == "image" else block
        for block in context.plan.vocabulary.blocks
    )
    plan = replace(context.plan, vocabulary=Vocabulary(blocks))
    edges = measure(replace(context, plan=plan))
    for name in ("->image", "text->image"):
        assert edges[name]["nats_per_token"] is None
        assert edges[name]["nats_per_sample_reason"] == (
            "no test sample has a token of image that can be predicted"
        )
    assert edges["image->text"]["nats_per_sample"]["value"] > 0
