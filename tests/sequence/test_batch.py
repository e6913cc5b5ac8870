"""Padded and packed batches hold the same rows; packing is a pure function of the lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from loretta_framework.api.layout import PADDING
from loretta_framework.api.masks import document_mask
from loretta_framework.api.specs import Bounds
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, TokenRow, build_row
from loretta_framework.sequence.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build({"a": Bounds(9, 1, 12), "b": Bounds(4, 3, 3)})


def rows_of(lengths: list[int]) -> list[TokenRow]:
    return [
        build_row(
            VOCABULARY,
            [
                Segment("a", np.arange(length) % 9, 0.5),
                Segment("b", np.array([length % 4, 1, 2])),
            ],
            sample=str(i),
            objective="even" if i % 2 == 0 else "odd",
        )
        for i, length in enumerate(lengths)
    ]


lengths = st.lists(st.integers(1, 12), min_size=1, max_size=12)


@settings(deadline=None)
@given(lengths)
def test_packed_holds_the_rows_of_padded(sizes: list[int]) -> None:
    rows = rows_of(sizes)
    for form in ("padded", "packed"):
        batch = collate(rows, form)  # type: ignore[arg-type]
        found = []
        documents = batch.layout.documents_BT
        for document in range(int(documents.max()) + 1):
            where = documents == document
            ids, targets = batch.ids_BT[where].tolist(), batch.targets_BT[where].tolist()
            assert batch.layout.positions_BT[where].tolist() == list(range(len(ids)))
            edges = [batch.edges[e] if e >= 0 else None for e in batch.edges_BT[where].tolist()]
            found.append((ids, targets, edges))
        wanted = [
            (
                row.ids_T.tolist(),
                row.targets_T.tolist(),
                [(row.objective, row.edges[e]) if e >= 0 else None for e in row.edges_T],
            )
            for row in rows
        ]
        assert sorted(found, key=str) == sorted(wanted, key=str)
        assert batch.tokens == sum(len(row) for row in rows)
        assert float(batch.weights_BT[documents == PADDING].sum()) == 0.0


@settings(deadline=None)
@given(lengths)
def test_edge_sums_are_those_of_a_plain_loop(sizes: list[int]) -> None:
    rows = rows_of(sizes)
    batch = collate(rows, "packed")
    nll_BT = torch.arange(batch.ids_BT.numel(), dtype=torch.float32).view_as(batch.ids_BT) / 7
    expected: dict[tuple[str, str], list[float]] = {}
    for edge, nll, weight in zip(
        batch.edges_BT.flatten().tolist(),
        nll_BT.flatten().tolist(),
        batch.weights_BT.flatten().tolist(),
        strict=True,
    ):
        if edge >= 0:
            sums = expected.setdefault(batch.edges[edge], [0.0, 0.0])
            sums[0] += nll * weight
            sums[1] += weight
    for task in ("even", "odd"):
        for name, (nats, weight_sum) in batch.edge_losses(nll_BT, task).items():
            wanted = expected[task, name]
            assert float(nats) == pytest.approx(wanted[0], rel=1e-5)
            assert float(weight_sum) == pytest.approx(wanted[1], rel=1e-6)


@settings(deadline=None)
@given(lengths)
def test_the_mask_shows_earlier_tokens_of_the_same_document_only(sizes: list[int]) -> None:
    layout = collate(rows_of(sizes), "packed").layout
    mask = document_mask(layout)[:, 0]
    rows, tokens = layout.documents_BT.shape
    for b in range(rows):
        for t in range(tokens):
            for s in range(tokens):
                same = layout.documents_BT[b, t] == layout.documents_BT[b, s] != PADDING
                assert bool(mask[b, t, s]) == bool((same and s <= t) or s == t)


def test_no_rows_and_too_long_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate([])
    with pytest.raises(ValueError, match="a row of 14 tokens does not fit a line of 5"):
        collate(rows_of([9]), "packed", 5)


def documents(batch: Batch) -> list[tuple[list[int], list[float]]]:
    """(ids, weights) of every document; in an order of their own, since lines may hold several."""
    found = []
    for document in range(int(batch.layout.documents_BT.max()) + 1):
        where = batch.layout.documents_BT == document
        found.append((batch.ids_BT[where].tolist(), batch.weights_BT[where].tolist()))
    return sorted(found)


@settings(deadline=None)
@given(lengths, st.integers(1, 6))
def test_buckets_add_padding_only_and_give_few_shapes(sizes: list[int], buckets: int) -> None:
    rows = rows_of(sizes)
    for form in ("padded", "packed"):
        plain = collate(rows, form, 40)  # type: ignore[arg-type]
        wide = collate(rows, form, 40, buckets)  # type: ignore[arg-type]
        assert documents(wide) == documents(plain)
        assert float(wide.weights_BT[wide.layout.documents_BT == PADDING].sum()) == 0.0
        assert (plain.tokens, plain.slots) == (wide.tokens, plain.ids_BT.numel())
        assert wide.ids_BT.shape[1] % 8 == 0
    shapes = {collate(rows_of([n]), "packed", 40, buckets).ids_BT.shape[1] for n in range(1, 13)}
    assert len(shapes) <= buckets


@settings(deadline=None)
@given(lengths)
def test_packed_takes_no_more_positions_than_a_line_for_each_row(sizes: list[int]) -> None:
    packed, padded = (collate(rows_of(sizes), form) for form in ("packed", "padded"))
    assert packed.slots <= padded.slots
    if len(set(sizes)) == 1:  # nothing to gain: no line holds two, and attention needs no mask
        assert not packed.layout.packed
        assert packed.ids_BT.shape == padded.ids_BT.shape


@settings(deadline=None)
@given(lengths)
def test_positions_with_weight_are_found_by_group(sizes: list[int]) -> None:
    batch = collate(rows_of(sizes), "packed")
    predicted, groups_M = batch.predicted, batch.groups_BT.flatten()
    wanted = (batch.weights_BT.flatten() > 0).nonzero()[:, 0].tolist()
    assert sorted(predicted.order_N.tolist()) == wanted
    first = 0
    for group, count in zip(predicted.groups, predicted.counts, strict=True):
        here = predicted.order_N[first : first + count]
        assert groups_M[here].tolist() == [group] * count
        assert here.tolist() == sorted(here.tolist())
        first += count
    assert first == len(wanted)
    assert list(predicted.groups) == sorted(set(predicted.groups))
