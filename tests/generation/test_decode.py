"""Cached decoding against the plain loop; ids, lengths and draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loretta_framework.api import random
from loretta_framework.generation.decode import generate
from loretta_framework.generation.rollout import RolloutCounters, RolloutRequest, rollout
from loretta_framework.generation.sampling import Sampling, sample
from loretta_framework.generation.score import score_rows
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.registry import Builder, Registry
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import (
    small_model,
    small_prompts,
    small_sample,
    small_vocabulary,
)


def uniforms(count: int) -> np.ndarray:
    return np.stack([random.generator(1, "test", i).random(9) for i in range(count)])


@torch.no_grad()
def slow_generate(
    model: AnyToAny, prompt: list[Segment], target: str, numbers: np.ndarray, temperature: float
) -> list[int]:
    """Without a cache: the whole row again for every token."""
    block, made = model.vocabulary[target], []
    for step in range(block.max_tokens):
        row = build_row(model.vocabulary, prompt, open_target=target)
        base_ids = [*row.ids_T.tolist(), *(i + block.content.start for i in made)]
        base_places = [*row.places_T.tolist(), *(row.places_T[-1] + 1 + np.arange(step)).tolist()]
        batch = collate([row])
        layout = type(batch.layout)(
            torch.zeros(1, len(base_ids), dtype=torch.int64),
            torch.arange(len(base_ids))[None],
            torch.tensor([0, len(base_ids)], dtype=torch.int32),
            len(base_ids),
            False,
        )
        x = model.embed(torch.tensor([base_ids]), torch.tensor([base_places]))
        logits = model.logits(
            model.backbone(x, layout)[:, -1], int(segment_groups(model.vocabulary, target)[step])
        )
        if block.variable and step < block.min_tokens:
            logits[:, 0] = float("-inf")
        token = int(sample(logits, torch.tensor(numbers[step : step + 1]), Sampling(temperature)))
        token -= int(block.variable)
        if token < 0:
            break
        made.append(token)
    return made


@pytest.mark.parametrize("settings", [{}, {"kv_heads": 2, "qk_norm": True}])
@pytest.mark.parametrize("target", ["image", "text", "speech"])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_cached_decoding_gives_the_tokens_of_the_uncached_loop(
    target: str, temperature: float, settings: dict[str, object]
) -> None:
    model = small_model(**settings).eval()
    given = small_prompts(12, "text") + small_prompts(6, "speech", "image") + [[]]
    numbers = uniforms(len(given))
    fast = generate(model, given, target, numbers, sampling=Sampling(temperature), batch_rows=7)
    slow = [
        slow_generate(model, p, target, n, temperature) for p, n in zip(given, numbers, strict=True)
    ]
    assert [ids.tolist() for ids in fast] == slow


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mamba.mamba2", {"width": 32, "depth": 2, "head_dim": 8, "state": 8, "chunk": 8}),
        ("hyena.hyena", {"width": 32, "depth": 2}),
    ],
)
def test_other_backbones_give_the_tokens_of_the_uncached_loop(
    kind: str, settings: dict[str, object]
) -> None:
    plugin = kind.partition(".")[0]
    builder = Builder(Registry.discover({plugin}, {plugin}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AnyToAny(small_vocabulary(), builder.build(kind, settings)).eval()
    shared = [Segment(*part) for part in small_sample(2, "speech", "image", "text").parts]
    given = [*small_prompts(3, "text"), *small_prompts(2, "speech", "image"), [], shared, shared]
    numbers = uniforms(len(given))
    for target in ("image", "speech"):
        fast = generate(model, given, target, numbers, batch_rows=6)
        slow = [
            slow_generate(model, p, target, n, 1.0) for p, n in zip(given, numbers, strict=True)
        ]
        assert [ids.tolist() for ids in fast] == slow


def test_generated_ids_and_lengths_stay_in_bounds() -> None:
    model = small_model()
    for target in model.vocabulary.modalities:
        block = model.vocabulary[target]
        lengths = set()
        for ids in generate(model, small_prompts(200, "text"), target, uniforms(200)):
            assert block.min_tokens <= len(ids) <= block.max_tokens
            assert ids.min() >= 0
            assert ids.max() < block.vocab_size
            lengths.add(len(ids))
        assert (len(lengths) > 1) == block.variable


def test_a_row_does_not_depend_on_who_else_is_in_the_batch() -> None:
    model = small_model()
    given, numbers = small_prompts(20, "text"), uniforms(20)
    together = generate(model, given, "speech", numbers)
    alone = [
        generate(model, [p], "speech", n[None])[0] for p, n in zip(given, numbers, strict=True)
    ]
    assert [x.tolist() for x in together] == [x.tolist() for x in alone]


def test_samples_follow_the_models_distribution() -> None:
    model = small_model()
    prompt = small_prompts(1, "text")[0]
    count = 4000
    numbers = np.random.default_rng(0).random((count, 9))
    made = generate(model, [prompt] * count, "image", numbers)
    first = np.bincount([ids[0] for ids in made], minlength=8) / count
    row = build_row(model.vocabulary, prompt, open_target="image")
    batch = collate([row])
    with torch.no_grad():
        hidden = model.eval().backbone(model.embed(batch.ids_BT, batch.places_BT), batch.layout)
        wanted = torch.softmax(model.logits(hidden[:, -1], 0), -1)[0].numpy()
    # 5 standard errors of a frequency
    assert (np.abs(first - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9).all()


def test_top_k_and_greedy() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]]).expand(1000, 4)
    numbers = torch.linspace(0, 0.999, 1000, dtype=torch.float64)
    assert set(sample(logits, numbers, Sampling(top_k=2)).tolist()) == {1, 2}
    assert set(sample(logits, numbers, Sampling(0.0)).tolist()) == {1}
    assert set(sample(logits, numbers, Sampling()).tolist()) == {0, 1, 2, 3}
    forbidden = logits.clone()
    forbidden[:, 1] = float("-inf")
    assert 1 not in sample(forbidden, numbers, Sampling()).tolist()


@pytest.mark.parametrize(
    ("temperature", "top_k", "words"),
    [
        (-1.0, None, "temperature must be finite and 0 or more, but is -1.0"),
        (1.0, 0, "top_k must be 1 or more, but is 0"),
    ],
)
def test_bad_sampling_settings_are_refused(
    temperature: float, top_k: int | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(temperature, top_k)


def test_generation_keeps_the_mode_and_leaves_no_gradient() -> None:
    model = small_model(dropout=0.5)
    for training in (True, False):
        model.train(training)
        first = generate(model, small_prompts(3, "text"), "image", uniforms(3))
        again = generate(model, small_prompts(3, "text"), "image", uniforms(3))
        assert model.training is training
        assert [x.tolist() for x in first] == [x.tolist() for x in again]  # dropout is off
    assert all(p.grad is None for p in model.parameters())


def test_a_rollout_walks_hop_by_hop_on_the_segment_before_alone() -> None:
    model = small_model()
    starts = [small_sample(i, "image") for i in range(6)]
    requests = [
        RolloutRequest(s.tokens("image"), ("image", "text", "speech"), ("t", s.key, s.position))
        for s in starts
    ]
    counters = RolloutCounters()
    made = rollout(model, requests, seed=5, counters=counters)
    for request, ids in zip(requests, made, strict=True):
        hop1 = random.generator(5, "t/tokens", 0, *request.key[1:]).random(6)
        text = generate(model, [[Segment("image", request.start)]], "text", hop1[None])[0]
        hop2 = random.generator(5, "t/tokens", 1, *request.key[1:]).random(9)
        wanted = generate(model, [[Segment("text", text)]], "speech", hop2[None])[0]
        assert ids.tolist() == wanted.tolist()
    assert counters.segments == {"image->text": 6, "text->speech": 6}
    assert counters.tokens["text->speech"] == sum(len(ids) for ids in made)


def test_scores_are_the_weighted_losses_whatever_the_batching() -> None:
    model = small_model().eval()
    rows = []
    for position in range(15):
        image, text = small_sample(position, "image", "text").parts
        rows.append(build_row(model.vocabulary, [Segment(*image, 0.0), Segment(*text)]))
    alone = []
    with torch.no_grad():
        for row in rows:
            batch = collate([row])
            alone.append(float((model(batch).nll_BT * batch.weights_BT).sum()))
    for size in (1, 40, 10_000):
        scores = score_rows(model, rows, batch_tokens=size)
        assert [s.nats for s in scores] == pytest.approx(alone, rel=1e-5)
        assert [s.tokens for s in scores] == [len(row.ids_T) - 5 for row in rows]
