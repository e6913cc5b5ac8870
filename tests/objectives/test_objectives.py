"""Objectives through their contract: orders, pseudo tokens, draws, sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from loretta_framework.api.protocols import Outputs
from loretta_framework.generation.rollout import RolloutRequest, rollout
from loretta_framework.generation.sampling import samplings
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.bridging import walks
from loretta_framework.objectives.causal import Causal
from loretta_framework.objectives.causal_masked import CausalMasked, draw_spans
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import (
    CausalMaskedSettings,
    CausalSettings,
    TransitiveSettings,
)
from loretta_framework.objectives.transitive import Transitive
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import TokenizedSample, TokenRow
from loretta_framework.sequence.vocabulary import INFILL_END_ID, NUM_SENTINELS, SENTINELS_START
from loretta_framework.testing.small_models import (
    small_graph,
    small_model,
    small_sample,
    small_vocabulary,
)

VOCABULARY = small_vocabulary()
BRIDGES = small_graph().bridges()


def context(
    task: str, model: AnyToAny | None = None, gain: Callable[[str], float | None] | None = None
) -> ObjectiveContext:
    def roll(
        requests: Any, temperature: Any, top_k: int | None, average: bool, /, **more: Any
    ) -> Any:
        assert model is not None
        targets = {name for request in requests for name in request.path[1:]}
        sampling = samplings(targets, temperature, top_k, more["top_p"], more["min_p"])
        return rollout(model, requests, 0, sampling=sampling)

    return ObjectiveContext(VOCABULARY, BRIDGES, 0, task, roll, gain or (lambda _: None))


def segment_order(row: TokenRow) -> list[str]:
    classes = {block.class_id: block.modality for block in VOCABULARY.blocks}
    return [classes[i] for i in row.ids_T.tolist() if i in classes]


def pairs(count: int, *names: str) -> list[TokenizedSample]:
    return [small_sample(i, *names) for i in range(count)]


def test_commutative_draws_every_order_about_equally() -> None:
    here = context("causal")
    rows = Causal(CausalSettings(), here).sequences(pairs(1200, "image", "text", "speech"), here)
    counts = Counter(tuple(segment_order(row)) for row in rows)
    assert len(counts) == 6
    assert all(abs(n - 200) < 5 * (1200 * (1 / 6) * (5 / 6)) ** 0.5 for n in counts.values())


def test_declared_order_and_orders_given_by_the_sample_are_kept() -> None:
    here = context("causal")
    declared = Causal(CausalSettings(order="declared"), here)
    rows = declared.sequences(pairs(50, "image", "text"), here)
    assert {tuple(segment_order(row)) for row in rows} == {("image", "text")}
    ordered = TokenizedSample("s", small_sample(0, "text", "image").parts, ordered=True)
    anyhow = Causal(CausalSettings(), here).sequences([ordered] * 20, here)
    assert {tuple(segment_order(row)) for row in anyhow} == {("text", "image")}


def test_the_first_segment_has_its_own_weight() -> None:
    here = context("causal")
    causal = Causal(CausalSettings(first_segment_weight=0.3), here)
    for row in causal.sequences(pairs(20, "image", "text"), here):
        for weight, edge in zip(row.weights_T, row.edges_T, strict=True):
            if edge >= 0:
                first = row.edges[edge].startswith("->")
                assert weight == pytest.approx(0.3 if first else 1.0)


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ({"image", "text"}, [("image", ("text", "speech"))]),
        ({"text", "speech"}, [("speech", ("text", "image"))]),
        ({"image"}, [("image", ("image", "text", "speech"))]),
        ({"speech"}, [("speech", ("speech", "text", "image"))]),
        ({"text"}, []),
        ({"image", "text", "speech"}, []),
        ({"image", "speech"}, []),
    ],
)
def test_walks_are_the_cases_of_the_method(present: set[str], wanted: list[Any]) -> None:
    assert [(w.target, w.path) for w in walks(present, BRIDGES)] == wanted


def test_longer_chains_start_at_the_present_modality_nearest_to_the_missing_one() -> None:
    from loretta_framework.graph import ModalityGraph

    chain = {frozenset(p): 1 for p in ("ab", "bc", "cd")}
    bridges = ModalityGraph.from_combinations("abcd", chain).bridges()
    found = {(w.target, w.path) for w in walks({"a", "b"}, bridges)}
    assert found == {("a", ("b", "c")), ("a", ("b", "c", "d")), ("b", ("b", "c", "d"))}
    assert {w.path for w in walks({"a", "b"}, bridges, max_hops=1)} == {("b", "c")}
    lone = {w.path for w in walks({"a"}, bridges)}
    assert lone == {("a", "b", "c"), ("a", "b", "c", "d")}
    assert walks({"a"}, bridges, single_modality=False) == []


def transitive_rows(
    samples: list[TokenizedSample], task: str = "transitive", **settings: Any
) -> list[TokenRow]:
    here = context(task, small_model())
    return Transitive(TransitiveSettings(**settings), here).sequences(samples, here)


def test_pseudo_comes_first_without_loss_and_the_real_segment_last() -> None:
    samples = [*pairs(30, "image", "text"), small_sample(99, "speech")]
    for sample, row in zip(samples, transitive_rows(samples), strict=True):
        pseudo, real = ("speech", "image") if "image" in sample.modalities else ("image", "speech")
        assert segment_order(row) == [pseudo, real]
        assert row.edges == (f"{pseudo}->{real}",)
        block = VOCABULARY[real]
        predicted = row.targets_T[row.weights_T > 0] - block.content.start
        assert predicted[predicted >= 0].tolist() == sample.tokens(real).tolist()
        allowed = VOCABULARY[pseudo].targets
        start = 1
        stop = row.ids_T.tolist().index(block.class_id)
        assert all(i in allowed for i in row.ids_T[start:stop].tolist())


def test_the_named_probability_is_the_rate_of_all_modalities() -> None:
    rows = transitive_rows(pairs(400, "image", "text"), all_modalities_probability=0.25)
    whole = sum(len(segment_order(row)) == 3 for row in rows)
    assert abs(whole - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5
    assert all(len(segment_order(r)) == 2 for r in transitive_rows(pairs(40, "image", "text")))


def test_pseudo_weight_order_and_link_only_are_settings() -> None:
    rows = transitive_rows(pairs(60, "image", "text"), pseudo_weight=0.5, order="any")
    assert {tuple(segment_order(r)) for r in rows} == {("speech", "image"), ("image", "speech")}
    weights = {w for r in rows for w in r.weights_T.tolist()}
    assert weights == {0.0, 0.5, 1.0}
    lone = transitive_rows(pairs(20, "text"), link_only=True, pseudo_weight=1.0)
    assert all(sorted(segment_order(r)) == ["image", "speech"] for r in lone)


@pytest.mark.parametrize("pseudo_weight", [0.0, 0.3, 0.5, 1.0])
def test_only_a_real_first_segment_has_the_first_weight(pseudo_weight: float) -> None:
    rows = transitive_rows(
        pairs(60, "image", "text"),
        pseudo_weight=pseudo_weight,
        first_segment_weight=0.3,
        order="any",
    )
    firsts = set()
    for row in rows:
        first = segment_order(row)[0]
        firsts.add(first)
        for weight, edge in zip(row.weights_T, row.edges_T, strict=True):
            if edge < 0:
                continue
            name = row.edges[edge]
            real = 0.3 if name.startswith("->") else 1.0
            assert weight == pytest.approx(pseudo_weight if name.endswith("speech") else real)
    assert firsts == {"speech", "image"}  # speech is what is made up


def test_samples_without_a_walk_are_causal_rows() -> None:
    rows = transitive_rows(pairs(10, "text") + pairs(10, "image", "text", "speech"))
    assert all(segment_order(r) == ["text"] for r in rows[:10])
    assert all(len(segment_order(r)) == 3 for r in rows[10:])
    off = transitive_rows(pairs(10, "image"), single_modality=False)
    assert all(segment_order(r) == ["image"] for r in off)


def test_reuse_serves_each_pseudo_segment_several_times() -> None:
    rows = transitive_rows(pairs(12, "image", "text"), reuse_k=3)
    assert len(rows) == 12
    assert [r.sample for r in rows] == [f"set/{i}" for i in range(4)] * 3
    assert len({r.ids_T.tobytes() for r in rows}) == 4


def test_a_link_is_held_until_it_is_good_enough() -> None:
    model = small_model()
    settings = TransitiveSettings(hold_until_gain=0.5)
    for gain, pseudo in ((None, False), (0.4, False), (0.5, True)):
        here = context(
            "transitive", model, lambda edge, g=gain: g if edge == "text->speech" else None
        )
        (row,) = Transitive(settings, here).sequences(pairs(1, "image", "text"), here)
        assert ("speech" in segment_order(row)) is pseudo


def test_a_tasks_draws_do_not_depend_on_other_tasks() -> None:
    samples = pairs(20, "image", "text")
    alone = transitive_rows(samples)
    here = context("causal")
    Causal(CausalSettings(), here).sequences(samples, here)  # another objective draws in between
    again = transitive_rows(samples)
    assert [r.ids_T.tolist() for r in alone] == [r.ids_T.tolist() for r in again]
    half = transitive_rows(samples[10:])
    assert [r.ids_T.tolist() for r in alone[10:]] == [r.ids_T.tolist() for r in half]
    other = transitive_rows(samples, task="second")
    assert [r.ids_T.tolist() for r in alone] != [r.ids_T.tolist() for r in other]


def test_pseudo_tokens_carry_no_gradient() -> None:
    """The gradient is that of the same rows with the pseudo segments as plain constants."""
    samples = pairs(8, "image", "text")
    model = small_model()
    here = context("transitive", model)
    rows = Transitive(TransitiveSettings(), here).sequences(samples, here)
    assert all(p.grad is None for p in model.parameters())
    batch = collate(rows, "packed")
    sum(
        nats for nats, _ in batch.edge_losses(model(batch).nll_BT, "transitive").values()
    ).backward()
    fresh = small_model()
    frozen = collate([TokenRow(**{f: getattr(r, f) for f in r.__slots__}) for r in rows], "packed")
    sum(
        nats for nats, _ in frozen.edge_losses(fresh(frozen).nll_BT, "transitive").values()
    ).backward()
    assert model.head is not None
    for (name, p), (_, q) in zip(model.named_parameters(), fresh.named_parameters(), strict=True):
        assert p.grad is not None
        assert torch.equal(p.grad, q.grad), name
    # and no logit of the pseudo modality was trained
    speech = VOCABULARY["speech"].targets
    assert float(model.head.weight.grad[speech.start : speech.stop].abs().max()) == 0.0


@given(st.integers(0, 400), st.floats(0.5, 4.0))
def test_causal_masking_can_be_undone(position: int, mean: float) -> None:
    here = context("masked")
    masked = CausalMasked(CausalMaskedSettings(spans=mean), here)
    sample = small_sample(position, "text", "speech", "image")
    (row,) = masked.sequences([sample], here)
    plain_context = context("masked")
    (plain,) = Causal(CausalSettings(), plain_context).sequences([sample], plain_context)
    sequence = [*row.ids_T.tolist(), int(row.targets_T[-1])]
    sentinels = range(SENTINELS_START, SENTINELS_START + NUM_SENTINELS)
    used = [i for i in sequence if i in sentinels]
    body = sequence
    for sentinel in reversed(used[: len(used) // 2]):
        cut = len(body) - 1 - body[::-1].index(sentinel)
        span, body = body[cut + 1 : -1], body[:cut]
        assert sequence[-1] == INFILL_END_ID
        place = body.index(sentinel)
        body = body[:place] + span + body[place + 1 :]
    assert body == [*plain.ids_T.tolist(), int(plain.targets_T[-1])]
    weighted = row.targets_T[row.weights_T > 0].tolist()
    assert not set(weighted) & set(sentinels)
    wanted = plain.targets_T[plain.weights_T > 0].tolist() + [INFILL_END_ID] * (len(used) // 2)
    lost = [t for t in wanted if t not in weighted]
    assert lost == []
    assert sorted(weighted) == sorted(wanted)


def test_zero_spans_are_the_plain_causal_row_and_spans_come_at_the_mean() -> None:
    here = context("masked")
    masked = CausalMasked(CausalMaskedSettings(spans=1e-9), here)
    samples = pairs(20, "image", "text")
    for row, plain in zip(
        masked.sequences(samples, here),
        Causal(CausalSettings(), here).sequences(samples, here),
        strict=True,
    ):
        assert row.ids_T.tolist() == plain.ids_T.tolist()
    busy = CausalMasked(CausalMaskedSettings(spans=2.0), here)
    moved = [
        r
        for r in busy.sequences(pairs(200, "speech", "text"), here)
        if INFILL_END_ID in r.targets_T
    ]
    assert len(moved) > 120
    assert any("speech+text->speech" in r.edges for r in moved)


def test_a_row_without_content_to_move_stays_as_it_is() -> None:
    assert draw_spans(np.random.default_rng(0), [], 9.0) == []


def test_two_half_batches_equal_one_whole_and_an_empty_edge_is_zero() -> None:
    here = context("causal")
    objective = Causal(CausalSettings(), here)
    rows = objective.sequences(pairs(10, "image", "text"), here)
    model = small_model().eval()

    def sums(part: list[TokenRow]) -> dict[str, np.ndarray]:
        batch = collate(part, "packed")
        with torch.no_grad():
            outputs = model(batch)
        return {
            k: np.array([float(a), float(b)])
            for k, (a, b) in objective.loss(outputs, batch).items()
        }

    whole, halves = sums(rows), [sums(rows[:5]), sums(rows[5:])]
    for edge, value in whole.items():
        np.testing.assert_allclose(value, sum(h.get(edge, 0) for h in halves), rtol=1e-5)
    batch = collate(transitive_rows(pairs(3, "image", "text")))
    assert objective.loss(Outputs(torch.zeros_like(batch.weights_BT), torch.zeros(1)), batch) == {}


def test_requests_name_their_draws() -> None:
    seen: list[RolloutRequest] = []

    def roll(requests: Any, *_: Any, **__: Any) -> Any:
        seen.extend(requests)
        return [np.zeros(4, np.int64) for _ in requests]

    here = ObjectiveContext(VOCABULARY, BRIDGES, 0, "transitive", roll, lambda _: None)
    Transitive(TransitiveSettings(), here).sequences(pairs(3, "text", "speech"), here)
    assert [r.key for r in seen] == [("transitive", f"set/{i}", i) for i in range(3)]
