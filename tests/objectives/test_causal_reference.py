"""The objective `causal` against a reference written with loops, from samples to sums by edge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from loretta_framework.api.random import generator
from loretta_framework.api.rows import TokenizedSample
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.objectives.causal import Causal
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import CausalSettings
from loretta_framework.sequence.batch import collate
from loretta_framework.testing.small_models import small_graph, small_model, small_sample

SEED, TASK = 5, "causal"
MODEL = small_model().eval()
KINDS = [("image", "text"), ("text", "speech"), ("speech",), ("image", "text", "speech")]

Step = tuple[int, int, float, str, str]
"""(id, next id, weight, edge, modality of the next id)"""


def reference_steps(sample: TokenizedSample, order: str, first_weight: float) -> list[Step]:
    """What each position of the sample's row is given and must predict."""
    vocabulary = MODEL.vocabulary
    names = [name for name, _ in sample.parts]
    if order == "any" and len(names) > 1:
        draw = generator(SEED, f"{TASK}/order", sample.key, sample.position)
        names = [names[i] for i in draw.permutation(len(names))]
    chain: list[tuple[int, float, str, str]] = []
    before: list[str] = []
    for name in names:
        block = vocabulary[name]
        weight = 1.0 if before else first_weight
        edge = "+".join(sorted(before)) + "->" + name
        chain.append((block.class_id, 0.0, edge, name))
        content = [block.content.start + token for token in sample.tokens(name).tolist()]
        chain += [(token, weight, edge, name) for token in content]
        if block.end_id is not None:
            chain.append((block.end_id, weight, edge, name))
        before.append(name)
    return [(chain[i][0], chain[i + 1][0], *chain[i + 1][1:]) for i in range(len(chain) - 1)]  # type: ignore[misc]


def reference_sums(
    model: AnyToAny, rows: list[Any], plans: list[list[Step]]
) -> dict[str, list[float]]:
    """Edge -> [sum of weight x nats, sum of weights], one position after the other."""
    sums: dict[str, list[float]] = {}
    for row, steps in zip(rows, plans, strict=True):
        batch = collate([row])
        with torch.no_grad():
            x_BTD = model.embed(batch.ids_BT, batch.places_BT)
            hidden_TD = model.backbone(x_BTD, batch.layout)[0].double()
        assert model.head is not None
        table_VD = model.head.weight.detach().double()
        for t, (_, target, weight, edge, modality) in enumerate(steps):
            if weight == 0:
                continue
            scores = {
                token: float(table_VD[token] @ hidden_TD[t])
                for token in model.vocabulary[modality].targets
            }
            nats = math.log(sum(math.exp(score) for score in scores.values())) - scores[target]
            pair = sums.setdefault(edge, [0.0, 0.0])
            pair[0] += weight * nats
            pair[1] += weight
    return sums


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.integers(0, 10_000),
    st.sampled_from(["any", "declared"]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_rows_and_sums_equal_the_reference(
    kinds: list[tuple[str, ...]], start: int, order: str, first_weight: float
) -> None:
    samples = [small_sample(start + i, *names) for i, names in enumerate(kinds)]
    context = ObjectiveContext(
        MODEL.vocabulary, small_graph().bridges(), SEED, TASK, lambda *_: [], lambda _: None
    )
    chosen = CausalSettings(order=order, first_segment_weight=first_weight)  # type: ignore[arg-type]
    causal = Causal(chosen, context)
    rows = causal.sequences(samples, context)
    plans = [reference_steps(sample, order, first_weight) for sample in samples]
    for row, steps in zip(rows, plans, strict=True):
        assert row.ids_T.tolist() == [step[0] for step in steps]
        assert row.targets_T.tolist() == [step[1] for step in steps]
        np.testing.assert_allclose(row.weights_T, [step[2] for step in steps], rtol=1e-6)
        edges = [row.edges[e] if e >= 0 else None for e in row.edges_T.tolist()]
        assert edges == [step[3] if step[2] > 0 else None for step in steps]
    wanted = reference_sums(MODEL, rows, plans)
    for form in ("padded", "packed"):
        batch = collate(rows, form)  # type: ignore[arg-type]
        with torch.no_grad():
            losses = causal.loss(MODEL(batch), batch)
        assert set(losses) == set(wanted)
        for edge, pair in losses.items():
            assert [float(value) for value in pair] == pytest.approx(wanted[edge], rel=1e-4)
