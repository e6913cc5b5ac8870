"""Slots: at each place only its own ids are predicted, in rows, losses, moved spans and pseudo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from loretta_framework.api import random
from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.generation.decode import generate
from loretta_framework.generation.rollout import RolloutRequest, rollout
from loretta_framework.generation.sampling import Sampling
from loretta_framework.generation.score import score_rows
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.causal import Causal
from loretta_framework.objectives.causal_masked import CausalMasked
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import CausalMaskedSettings, CausalSettings
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import id_groups, infill_groups, segment_groups
from loretta_framework.sequence.rows import Segment, TokenizedSample, TokenRow, build_row
from loretta_framework.sequence.vocabulary import INFILL_END_ID, Vocabulary
from loretta_framework.train.validate import validate

SLOTS = (range(3), range(3, 6), range(3), range(6, 12), range(5, 6))
"""Of five places; the third has the first's slot, the last leaves one choice. 12 marks "missing"."""

MISSING = 12
VOCABULARY = Vocabulary.build(
    {
        "text": Bounds(5, 1, 6),
        "panel": Bounds(13, 5, 5, SLOTS),
        "image": Bounds(8, 4, 4),
        "pair": Bounds(4, 2, 2, (range(2), range(1, 4))),
    }
)
PANEL = VOCABULARY["panel"]


def slotted_model(seed: int = 0) -> AnyToAny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = TransformerSettings(width=32, depth=2, heads=4)
        model = AnyToAny(VOCABULARY, Transformer(settings, "sdpa"))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def slotted_sample(position: int, *names: str, missing: float = 0.2) -> TokenizedSample:
    draw = random.generator(0, "slotted", position)
    parts = []
    for name in names:
        block = VOCABULARY[name]
        count = int(draw.integers(block.min_tokens, block.max_tokens + 1))
        ids = draw.integers(0, block.vocab_size, size=count)
        if name == "panel":
            ids = np.array([draw.integers(s.start, s.stop) for s in SLOTS])
            ids[draw.random(5) < missing] = MISSING
        parts.append((name, ids))
    return TokenizedSample(f"set/{position}", tuple(parts), position)


def context() -> ObjectiveContext:
    return ObjectiveContext(VOCABULARY, (), 0, "causal", lambda *_: [], lambda _: None)


def causal_rows(samples: list[TokenizedSample]) -> list[TokenRow]:
    return Causal(CausalSettings(first_segment_weight=0.3), context()).sequences(samples, context())


def masked_rows(samples: list[TokenizedSample], spans: float = 3.0) -> list[TokenRow]:
    objective = CausalMasked(CausalMaskedSettings(spans=spans), context())
    return objective.sequences(samples, context())


SAMPLES = [slotted_sample(i, "panel", "text", "pair") for i in range(40)]


def test_each_place_has_the_group_of_its_slot() -> None:
    groups = id_groups(VOCABULARY)
    for block in VOCABULARY.blocks:
        plain = segment_groups(VOCABULARY, block.modality).tolist()
        infill = infill_groups(VOCABULARY, block.modality).tolist()
        assert len(plain) == len(infill) == block.max_tokens + 1
        for place in range(block.max_tokens):
            slot = block.slots[place] if block.slots else range(block.vocab_size)
            ids = {block.content.start + i for i in slot}
            end = set() if block.end_id is None else {block.end_id}
            assert {i for part in groups[plain[place]] for i in part} == ids | end
            assert {i for part in groups[infill[place]] for i in part} == ids | {INFILL_END_ID}
    after_panel = groups[infill_groups(VOCABULARY, "panel")[-1]]
    assert [i for part in after_panel for i in part] == [INFILL_END_ID]
    plain = segment_groups(VOCABULARY, "panel").tolist()
    assert plain[0] == plain[2]
    assert len(set(plain[:-1])) == 4


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=5, max_size=5), st.sampled_from([0.3, 1.0]))
def test_an_id_outside_its_slot_is_an_input_and_no_target(ids: list[int], weight: float) -> None:
    made = [Segment("panel", np.array(ids), weight), Segment("text", np.array([1, 2]))]
    row = build_row(VOCABULARY, made)
    assert row.ids_T[1:6].tolist() == [PANEL.content.start + i for i in ids]
    inside = [i in slot for i, slot in zip(ids, SLOTS, strict=True)]
    assert (row.weights_T[:5] > 0).tolist() == inside
    assert (row.edges_T[:5] >= 0).tolist() == inside
    assert row.weights_T[5:].tolist() == [0, 1, 1, 1]
    groups = id_groups(VOCABULARY)
    for target, group, slot in zip(row.targets_T[:5], row.groups_T[:5], SLOTS, strict=True):
        (ids_of_group,) = groups[group]
        assert (int(target) in ids_of_group) == (int(target) - PANEL.content.start in slot)


def weighted_targets(rows: list[TokenRow]) -> list[tuple[TokenRow, int]]:
    return [(row, t) for row in rows for t in np.flatnonzero(row.weights_T > 0).tolist()]


def test_losses_equal_a_slow_loop_over_the_ids_of_the_slot() -> None:
    model = slotted_model().eval()
    assert model.head is not None
    for rows in (causal_rows(SAMPLES[:10]), masked_rows(SAMPLES[:10])):
        batch = collate(rows, "packed")
        outputs = model(batch)
        alone = [model(collate([row])) for row in rows]
        for row, one in zip(rows, alone, strict=True):
            for t in np.flatnonzero(row.weights_T > 0).tolist():
                target = int(row.targets_T[t])
                ids = [i for part in id_groups(VOCABULARY)[row.groups_T[t]] for i in part]
                logits = model.head.weight[ids] @ one.hidden_BTD[0, t]
                wanted = -torch.log_softmax(logits, 0)[ids.index(target)]
                torch.testing.assert_close(one.nll_BT[0, t], wanted, rtol=1e-4, atol=1e-5)
            assert bool((one.nll_BT[0][torch.from_numpy(row.weights_T == 0)] == 0).all())
        together = float((outputs.nll_BT * batch.weights_BT).sum().detach())
        separate = sum(
            float((one.nll_BT[0].detach() * torch.from_numpy(row.weights_T)).sum())
            for row, one in zip(rows, alone, strict=True)
        )
        assert together == pytest.approx(separate, rel=1e-5)


def test_logits_of_forbidden_ids_change_no_loss_and_get_no_gradient() -> None:
    model = slotted_model()
    assert model.head is not None
    row = build_row(
        VOCABULARY, [Segment("panel", np.array([0, MISSING, 2, 7, 5]))], objective="causal"
    )
    nll = model(collate([row])).nll_BT
    nll.sum().backward()
    assert model.head.weight.grad is not None
    touched = model.head.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    # The second place is not predicted, and the last has one choice: no gradient there.
    assert touched == [PANEL.content.start + i for i in (*range(3), *range(6, 12))]
    allowed = {PANEL.content.start + i for slot in SLOTS for i in slot}
    others = [i for i in range(VOCABULARY.size) if i not in allowed]
    with torch.no_grad():
        nll = model(collate([row])).nll_BT  # without gradients a backbone may round in another way
        model.head.weight[others] += 9.0
        assert torch.equal(model(collate([row])).nll_BT, nll)
        # Of each place the ids of all other places are forbidden too.
        for place, slot in enumerate(SLOTS):
            changed = slotted_model()
            assert changed.head is not None
            forbidden = [PANEL.content.start + i for i in range(13) if i not in slot]
            changed.head.weight[forbidden] += 9.0
            assert changed(collate([row])).nll_BT[0, place] == nll[0, place]


@pytest.mark.parametrize(
    ("temperature", "top_k"), [(0.0, None), (1.0, None), (30.0, None), (1.0, 2)]
)
def test_a_generated_id_never_leaves_its_slot(temperature: float, top_k: int | None) -> None:
    model = slotted_model()
    prompts = [[Segment(*s.parts[1])] for s in SAMPLES]
    numbers = np.random.default_rng(3).random((len(prompts), 5))
    for target in ("panel", "pair"):
        block = VOCABULARY[target]
        made = generate(
            model, prompts, target, numbers, sampling=Sampling(temperature, top_k), batch_rows=7
        )
        assert all(len(ids) == block.max_tokens for ids in made)
        assert all(i in slot for ids in made for i, slot in zip(ids, block.slots, strict=True))
        if temperature == 30.0:  # nothing allowed is left out
            for place, slot in enumerate(block.slots):
                assert {int(ids[place]) for ids in made} == set(slot)


def test_generation_follows_the_scored_distribution() -> None:
    """The likelihoods of all values of `pair` sum to 1, and samples have these frequencies."""
    model = slotted_model().eval()
    prompt = Segment("text", np.array([1, 2]), 0.0)
    values = [(a, b) for a in range(2) for b in range(1, 4)]
    rows = [build_row(VOCABULARY, [prompt, Segment("pair", np.array(v))]) for v in values]
    chances = np.exp([-score.nats for score in score_rows(model, rows)])
    assert chances.sum() == pytest.approx(1.0, abs=1e-5)
    count = 3000
    numbers = np.random.default_rng(0).random((count, 2))
    made = [tuple(ids) for ids in generate(model, [[prompt]] * count, "pair", numbers)]
    for value, chance in zip(values, chances, strict=True):
        error = 5 * (chance * (1 - chance) / count) ** 0.5
        assert abs(made.count(value) / count - chance) < error + 1e-9


def test_pseudo_segments_stay_in_their_slots() -> None:
    requests = [
        RolloutRequest(s.tokens("text"), ("text", "panel", "pair", "panel"), ("t", s.key, i))
        for i, s in enumerate(SAMPLES)
    ]
    for ids in rollout(slotted_model(), requests, seed=1, sampling=Sampling(5.0)):
        assert all(i in slot for i, slot in zip(ids, SLOTS, strict=True))


@settings(deadline=None)
@given(st.integers(0, 300), st.floats(0.5, 5.0))
def test_moved_spans_predict_each_token_within_its_own_slot(position: int, mean: float) -> None:
    sample = slotted_sample(position, "panel", "text", "pair", "image", missing=0.4)
    (row,) = masked_rows([sample], mean)
    groups = id_groups(VOCABULARY)
    predicted = []
    for _, t in weighted_targets([row]):
        target = int(row.targets_T[t])
        assert any(target in ids for ids in groups[row.groups_T[t]])
        owner = next((b for b in VOCABULARY.blocks if target in b.content), None)
        if owner is not None:
            predicted.append(target)
        if owner is not None and owner.slots:
            # The slot is that of the place at which the target stands as an input, or would.
            after = row.places_T[t + 1] if t + 1 < len(row) else row.places_T[t] + 1
            start = 1 + sum(
                b.segment_length for b in VOCABULARY.blocks[: VOCABULARY.blocks.index(owner)]
            )
            slot = owner.slots[int(after) - start - 1]
            own = {owner.content.start + i for i in slot}
            assert {i for part in groups[row.groups_T[t]] for i in part} - {INFILL_END_ID} == own
    wanted = [
        VOCABULARY[name].content.start + int(i)
        for name, ids in sample.parts
        for place, i in enumerate(ids)
        if not VOCABULARY[name].slots or i in VOCABULARY[name].slots[place]
    ]
    assert sorted(predicted) == sorted(wanted)  # each once, those outside their slot never
    assert (row.edges_T >= 0).tolist() == (row.weights_T > 0).tolist()


def test_a_whole_span_that_is_missing_costs_only_its_end() -> None:
    sample = slotted_sample(0, "panel", missing=1.0)
    moved = [row for row in masked_rows([sample] * 1, 50.0) if len(row) > 5]
    for row in moved:
        assert set(row.targets_T[row.weights_T > 0].tolist()) == {INFILL_END_ID}
        assert row.edges == ("->panel", "panel->panel")
    assert moved


def test_validation_counts_only_what_can_be_predicted() -> None:
    model = slotted_model()
    lost = [slotted_sample(i, "text", "panel", missing=1.0) for i in range(3)]
    assert set(validate(model, lost)) == {"panel->text"}
    some = [slotted_sample(i, "text", "panel", missing=0.5) for i in range(9)]
    rows = [build_row(VOCABULARY, [Segment(*s.parts[0], 0.0), Segment(*s.parts[1])]) for s in some]
    scores = score_rows(model, rows)
    tokens = sum(int((s.tokens("panel") != MISSING).sum()) for s in some)
    assert sum(score.tokens for score in scores) == tokens
    wanted = sum(score.nats for score in scores) / tokens
    assert validate(model, some)["text->panel"] == pytest.approx(wanted)
