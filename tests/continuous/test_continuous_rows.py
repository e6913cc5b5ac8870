"""Features from rows to losses: where they go, what they reach, and what they never are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from loretta_framework.api import random
from loretta_framework.api.errors import PluginError
from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.data.loading.transport import StepResult, pack, unpack
from loretta_framework.generation.decode import generate
from loretta_framework.generation.rollout import RolloutRequest, rollout
from loretta_framework.generation.sampling import Sampling, sample
from loretta_framework.generation.score import score_rows
from loretta_framework.graph import ModalityGraph
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.causal import Causal
from loretta_framework.objectives.causal_masked import CausalMasked
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import (
    CausalMaskedSettings,
    CausalSettings,
    TransitiveSettings,
)
from loretta_framework.objectives.transitive import Transitive
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Segment, TokenizedSample, TokenRow, build_row
from loretta_framework.sequence.vocabulary import (
    INFILL_END_ID,
    NUM_SENTINELS,
    PAD_ID,
    SENTINELS_START,
    Vocabulary,
)
from loretta_framework.train.pool import RowPool
from loretta_framework.train.validate import validate

VOCABULARY = Vocabulary.build(
    {
        "text": Bounds(5, 1, 6),
        "pulse": Bounds(0, 3, 3),
        "type": Bounds(0, 2, 2),  # names of methods of torch modules are names like others
        "image": Bounds(8, 4, 4),
    }
)
SHAPES = {"pulse": (3, 4), "type": (2, 2, 2)}
PULSE = VOCABULARY["pulse"]
MARK = PULSE.content.start


class Network(nn.Module):
    """(N, 3, 4) or (N, 2, 2, 2) features -> (N, T, 6)."""

    width = 6

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.layer = nn.Linear(numbers, 6)

    def forward(self, features: Tensor) -> Tensor:
        mapped: Tensor = torch.tanh(self.layer(features.flatten(2)))
        return mapped


def model_of(seed: int = 0, **settings: object) -> AnyToAny:
    chosen = TransformerSettings(**{"width": 32, "depth": 2, "heads": 4, **settings})  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = {"pulse": Network(4), "type": Network(4)}
        model = AnyToAny(VOCABULARY, Transformer(chosen, "sdpa"), encoders=encoders)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def sample_of(position: int, *names: str) -> TokenizedSample:
    draw = random.generator(0, "continuous", position)
    parts = []
    for name in names:
        block = VOCABULARY[name]
        if block.continuous:
            parts.append((name, draw.standard_normal(SHAPES[name]).astype(np.float32)))
            continue
        count = int(draw.integers(block.min_tokens, block.max_tokens + 1))
        parts.append((name, draw.integers(0, block.vocab_size, size=count)))
    return TokenizedSample(f"set/{position}", tuple(parts), position)


def context(task: str = "causal", model: AnyToAny | None = None) -> ObjectiveContext:
    combos = {frozenset(pair): 1 for pair in (("text", "pulse"), ("pulse", "image"))}
    graph = ModalityGraph.from_combinations(VOCABULARY.modalities, combos, VOCABULARY.inputs)

    def roll(
        requests: list[RolloutRequest], temperature: float, *_: object, **__: object
    ) -> list[np.ndarray]:
        assert model is not None
        return rollout(model, requests, 0, sampling=Sampling(temperature))

    return ObjectiveContext(VOCABULARY, graph.bridges(), 0, task, roll, lambda _: None)


ORDERS = [
    ("pulse", "text"), ("text", "pulse", "image"), ("image", "type", "text"), ("pulse",),
    ("text",), ("pulse", "image", "pulse", "text"), ("type", "pulse", "text"),
]  # fmt: skip


def some_rows(count: int = 14) -> list[TokenRow]:
    samples = [sample_of(i, *ORDERS[i % len(ORDERS)]) for i in range(count)]
    return Causal(CausalSettings(order="declared"), context()).sequences(samples, context())


def test_a_row_holds_a_place_for_each_vector_and_no_target() -> None:
    (row,) = Causal(CausalSettings(order="declared"), context()).sequences(
        [sample_of(0, "pulse", "text")], context()
    )
    text = sample_of(0, "pulse", "text").tokens("text")
    ids = [i + VOCABULARY["text"].content.start for i in text]
    assert row.ids_T.tolist() == [PULSE.class_id, MARK, MARK, MARK, PULSE.stop - PULSE.stop
                                  + VOCABULARY["text"].class_id, *ids]  # fmt: skip
    assert row.weights_T.tolist() == [0.0] * 4 + [1.0] * (len(text) + 1)
    assert row.edges == ("pulse->text",)
    assert [name for name, _ in row.features] == ["pulse"]


@pytest.mark.parametrize("names", [("pulse",), ("text", "pulse")])
def test_the_vectors_of_a_last_segment_are_all_inputs(names: tuple[str, ...]) -> None:
    (row,) = Causal(CausalSettings(order="declared"), context()).sequences(
        [sample_of(1, *names)], context()
    )
    assert row.ids_T[-3:].tolist() == [MARK] * 3
    assert row.targets_T[-1] == PAD_ID
    assert (row.weights_T[-4:] == 0).all()
    assert row.edges == (("->text",) if "text" in names else ())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pulse", np.zeros(3, np.int64), "'pulse' must be given as float features, but is int64"),
        ("text", np.zeros(3, np.float32), "'text' must be given as integer tokens, but is float32"),
    ],
)
def test_content_of_the_wrong_form_is_refused(name: str, content: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_row(VOCABULARY, [Segment(name, content)])


@settings(deadline=None)
@given(st.lists(st.sampled_from(ORDERS), min_size=1, max_size=12), st.sampled_from([40, 64]))
def test_features_stand_in_reading_order_whatever_the_layout(
    orders: list[tuple[str, ...]], capacity: int
) -> None:
    samples = [sample_of(i, *names) for i, names in enumerate(orders)]
    rows = Causal(CausalSettings(), context()).sequences(samples, context())
    for form in ("padded", "packed"):
        batch = collate(rows, form, capacity)  # type: ignore[arg-type]
        for name, shape in SHAPES.items():
            count = sum(n == name for names in orders for n in names)
            places = int((batch.ids_BT == VOCABULARY[name].content.start).sum())
            assert places == count * VOCABULARY[name].max_tokens
            assert (name in batch.features) == (count > 0)
            if count:
                assert batch.features[name].shape == (count, *shape)
    # Marked by position: each document finds its own.
    for row in rows:
        for _, array in row.features:
            array[...] = float(row.sample.removeprefix("set/"))
    batch = collate(rows, "packed", capacity)
    if "pulse" in batch.features:
        lengths = batch.layout.cu_lengths
        owners = batch.layout.documents_BT[batch.ids_BT == MARK][::3]
        values = batch.features["pulse"][:, 0, 0]
        by_length = {int(v): len(rows[int(v)]) for v in values}
        for owner, value in zip(owners.tolist(), values.tolist(), strict=True):
            assert int(lengths[owner + 1] - lengths[owner]) == by_length[int(value)]


def test_features_of_several_shapes_are_the_plugins_fault() -> None:
    rows = [build_row(VOCABULARY, [Segment("pulse", np.zeros((3, n), np.float32))]) for n in (4, 5)]
    with pytest.raises(
        PluginError, match=r"one shape for all values, but gives \[\(3, 4\), \(3, 5"
    ):
        collate(rows)


def gradients(batches: list[Batch]) -> tuple[float, dict[str, Tensor]]:
    model = model_of()
    total = torch.zeros(())
    for batch in batches:
        nll_BT = model(batch).nll_BT
        total = total + sum(nats for nats, _ in batch.edge_losses(nll_BT, "causal").values())
    total.backward()
    return float(total.detach()), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


def test_packed_gives_the_loss_and_gradients_of_separate_rows() -> None:
    rows = some_rows()
    one, separate = gradients([collate([row]) for row in rows])
    assert {
        "encoders.pulse.layer.weight",
        "encoders.type.layer.bias",
        "projectors.type.weight",
    } <= {name for name, gradient in separate.items() if float(gradient.abs().max()) > 1e-3}
    for other, together in (gradients([collate(rows, "packed")]), gradients([collate(rows)])):
        assert abs(one - other) <= 1e-5 * abs(one)
        assert set(separate) == set(together)
        for name, gradient in separate.items():
            torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_features_reach_what_follows_in_their_document_and_nothing_else() -> None:
    model = model_of().eval()
    rows = some_rows(7)
    before = model(collate(rows, "packed", 64)).nll_BT
    name, array = rows[1].features[0]  # of text, pulse, image
    assert name == "pulse"
    array += 0.5
    batch = collate(rows, "packed", 64)
    changed_BT = model(batch).nll_BT != before
    # Rows are told by their edges: only the image of this row stands behind its pulse.
    own = batch.edges.index(("causal", "pulse+text->image"))
    assert bool(changed_BT[batch.edges_BT == own].all())
    assert not bool(changed_BT[batch.edges_BT != own].any())


def test_a_batch_without_weight_has_no_loss_and_no_gradient() -> None:
    rows = [row for row in some_rows() if not row.edges]
    assert rows
    batch = collate(rows, "packed")
    outputs = model_of()(batch)
    assert batch.edge_losses(outputs.nll_BT, "causal") == {}
    assert not outputs.nll_BT.requires_grad
    assert float(outputs.nll_BT.abs().sum()) == 0.0


class Short(Network):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features)[:, :2]


def test_a_network_that_gives_other_vectors_is_the_plugins_fault() -> None:
    model = model_of()
    model.encoders._modules["pulse"] = Short(4)
    with pytest.raises(PluginError, match=r"of shape \(\d+, 3, 6\), but gives \(\d+, 2, 6\)"):
        model(collate(some_rows()))


def test_the_placeholders_own_row_of_the_table_is_never_seen() -> None:
    model = model_of().eval()
    batch = collate(some_rows())
    before = model(batch).nll_BT
    with torch.no_grad():
        model.embedding.weight[MARK] += 5.0
    assert torch.equal(model(batch).nll_BT, before)


@torch.no_grad()
def slow_generate(
    model: AnyToAny, prompt: list[Segment], target: str, numbers: np.ndarray
) -> list[int]:
    """Without a cache: the whole row again for every token."""
    block, made = model.vocabulary[target], []
    for step in range(block.max_tokens):
        given = [*prompt, Segment(target, np.array(made, np.int64))] if made else prompt
        row = build_row(VOCABULARY, given, open_target=None if made else target)
        if made:  # an open segment has no end id: it follows as an input of what is not there yet
            end = int(block.variable)
            row = build_row(VOCABULARY, given, open_target="image")
            keep = len(row) - 1 - end
        else:
            keep = len(row)
        batch = collate([row])
        x = model.embed(batch.ids_BT, batch.places_BT, batch.features)
        hidden = model.backbone(x, batch.layout)[:, keep - 1]
        logits = model.logits(hidden, int(segment_groups(VOCABULARY, target)[step]))
        if block.variable and step < block.min_tokens:
            logits[:, 0] = float("-inf")
        token = int(sample(logits, torch.tensor(numbers[step : step + 1]), Sampling()))
        token -= int(block.variable)
        if token < 0:
            break
        made.append(token)
    return made


@pytest.mark.parametrize("settings", [{}, {"kv_heads": 2, "qk_norm": True}])
@pytest.mark.parametrize("target", ["text", "image"])
def test_cached_decoding_gives_the_tokens_of_the_uncached_loop(
    target: str, settings: dict[str, object]
) -> None:
    model = model_of(**settings).eval()
    orders = [
        ("pulse",),
        ("type", "pulse"),
        ("text", "pulse"),
        ("pulse", "text", "pulse"),
        ("text",),
    ]
    prompts = [[Segment(*part) for part in sample_of(i, *orders[i % 5]).parts] for i in range(15)]
    numbers = np.random.default_rng(0).random((15, 6))
    fast = generate(model, prompts, target, numbers, batch_rows=4)
    slow = [slow_generate(model, p, target, n) for p, n in zip(prompts, numbers, strict=True)]
    assert [ids.tolist() for ids in fast] == slow
    alone = [
        generate(model, [p], target, n[None])[0] for p, n in zip(prompts, numbers, strict=True)
    ]
    assert [ids.tolist() for ids in alone] == slow


def test_a_continuous_modality_is_never_generated() -> None:
    with pytest.raises(ValueError, match="'pulse' must be discrete to be generated"):
        generate(model_of(), [[]], "pulse", np.zeros((1, 3)))


def test_scores_do_not_depend_on_the_batching() -> None:
    model, rows = model_of(), some_rows()
    alone = [score_rows(model, [row])[0].nats for row in rows]
    for size in (1, 60, 10_000):
        assert [s.nats for s in score_rows(model, rows, size)] == pytest.approx(alone, rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 200), st.sampled_from(ORDERS), st.floats(0.5, 4.0))
def test_spans_move_around_features_which_stay(
    position: int, names: tuple[str, ...], mean: float
) -> None:
    here = context("masked")
    masked = CausalMasked(CausalMaskedSettings(spans=mean), here)
    taken = sample_of(position, *names)
    (row,) = masked.sequences([taken], here)
    (plain,) = Causal(CausalSettings(), here).sequences([taken], here)
    assert [name for name, _ in row.features] == [name for name, _ in plain.features]
    for (_, one), (_, other) in zip(row.features, plain.features, strict=True):
        assert np.array_equal(one, other)
    marks = [VOCABULARY[name].content.start for name in SHAPES]
    for mark in marks:
        assert (row.ids_T == mark).sum() == (plain.ids_T == mark).sum()
    sequence = [*row.ids_T.tolist(), int(row.targets_T[-1])]
    sentinels = range(SENTINELS_START, SENTINELS_START + NUM_SENTINELS)
    used = [i for i in sequence if i in sentinels]
    if used:
        assert PAD_ID not in sequence
        assert sequence[-1] == INFILL_END_ID
        tail = sequence[len(sequence) - 1 - sequence[::-1].index(used[0]) :]
        assert not set(marks) & set(tail)
    weighted = row.targets_T[row.weights_T > 0].tolist()
    wanted = plain.targets_T[plain.weights_T > 0].tolist() + [INFILL_END_ID] * (len(used) // 2)
    assert sorted(weighted) == sorted(wanted)


def test_a_bridge_starts_at_real_features_and_rows_are_trained_on_the_text_alone() -> None:
    model = model_of()
    here = context("transitive", model)
    assert [bridge.paths for bridge in here.bridges] == [(("text", "pulse", "image"),)]
    objective = Transitive(TransitiveSettings(), here)
    samples = [sample_of(i, "text", "pulse") for i in range(12)]
    rows = objective.sequences(samples, here)
    assert {row.edges for row in rows} == {("image->text",)}
    assert all(row.features == () for row in rows)  # the pulse made the image, and is left out
    whole = Transitive(TransitiveSettings(all_modalities_probability=1.0), here)
    assert all(len(row.features) == 1 for row in whole.sequences(samples, here))
    lone = objective.sequences([sample_of(0, "pulse"), sample_of(1, "text")], here)
    assert [row.edges for row in lone] == [(), ("->text",)]
    link = Transitive(TransitiveSettings(link_only=True, pseudo_weight=1.0), here)
    (row,) = link.sequences([sample_of(0, "pulse")], here)
    assert set(row.edges) <= {"->text", "->image", "text->image", "image->text"}
    assert row.edges


def test_validation_has_no_edge_to_it() -> None:
    found = validate(model_of(), [sample_of(i, "pulse", "text", "image") for i in range(3)])
    assert set(found) == {"pulse->text", "pulse->image", "text->image", "image->text"}


part_orders = st.lists(st.sampled_from([*ORDERS, ()]), max_size=6)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["one", "two"]), part_orders))
def test_features_travel_from_a_loader_process_unchanged(
    tasks: dict[str, list[tuple[str, ...]]],
) -> None:
    samples = {
        task: [sample_of(i, *names) for i, names in enumerate(orders)]
        for task, orders in tasks.items()
    }
    came = unpack(pack(StepResult(samples))).samples
    assert list(came) == list(samples)
    for task, sent_samples in samples.items():
        for one, other in zip(sent_samples, came[task], strict=True):
            assert one.key == other.key
            assert one.position == other.position
            for (name, sent), (kept, arrived) in zip(one.parts, other.parts, strict=True):
                assert name == kept
                assert sent.dtype == arrived.dtype
                assert sent.shape == arrived.shape
                assert np.array_equal(sent, arrived)


def test_a_pool_keeps_the_features_of_its_rows() -> None:
    rows = some_rows()
    pool, again = RowPool(), RowPool()
    pool.fill(rows, made=0)
    again.restore(pool.tensors(), [list(item) for item in pool.names()])
    for row, pooled in zip(rows, again.draw(len(rows)), strict=True):
        kept = pooled.row
        assert row.edges == kept.edges
        assert np.array_equal(row.ids_T, kept.ids_T)
        assert [name for name, _ in row.features] == [name for name, _ in kept.features]
        for (_, one), (_, other) in zip(row.features, kept.features, strict=True):
            assert np.array_equal(one, other)


def test_a_pool_of_before_there_were_features_is_read() -> None:
    rows = [row for row in some_rows() if not row.features]
    pool, again = RowPool(), RowPool()
    pool.fill(rows, made=0)
    again.restore(pool.tensors(), [item[:3] for item in pool.names()])
    assert [pooled.row.features for pooled in again.draw(len(rows))] == [()] * len(rows)


def test_mixed_precision_computes_the_same_up_to_its_rounding() -> None:
    model, batch = model_of(), collate(some_rows(), "packed")
    exact = model(batch).nll_BT
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(batch).nll_BT
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.3)
    rounded.sum().backward()
    assert float(model.encoders["pulse"].layer.weight.grad.abs().max()) > 0
