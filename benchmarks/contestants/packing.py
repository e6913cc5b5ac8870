"""Our model on the mix in one of four layouts, each step a batch of the same samples.

B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.contestants.loop import optimizer_of, precise
from benchmarks.contestants.ours import transformer, world
from benchmarks.machine import versions
from benchmarks.product import assembled
from benchmarks.rounds import Rounds
from benchmarks.tokens import MIX_ROW, mix
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, TokenRow, build_row
from loretta_framework.sequence.vocabulary import Vocabulary

LAYOUTS = ("padded to row", "padded to batch", "length buckets", "packed")


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train; laying out is timed. Spec: shape, layout, precision."""
    shape = spec["shape"]
    bounds, pairs = world(shape)
    with assembled(bounds, pairs, transformer(shape)) as trainer:
        model = trainer.model.train()
    optimizer = optimizer_of(model)
    batches = laid_out(rows_of(model.vocabulary, shape["samples"]), shape["batch"], spec["layout"])
    rounds.about(parameters=sum(p.numel() for p in model.parameters()), versions=versions())
    tokens = slots = 0
    for pieces in rounds:
        useful = 0
        for _ in range(pieces):
            batch = next(batches)
            useful, tokens, slots = (
                useful + batch.tokens,
                tokens + batch.tokens,
                slots + batch.slots,
            )
            optimizer.zero_grad(set_to_none=True)
            with precise(spec["precision"], "cpu"):
                loss = (model(batch).nll_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            last = float(loss.detach())
        rounds.note(units=useful, loss=last, useful_share=round(tokens / slots, 4))


def rows_of(vocabulary: Vocabulary, count: int) -> list[TokenRow]:
    """The samples of the mix as rows."""
    return [
        build_row(vocabulary, [Segment(*part) for part in sample], str(number))
        for number, sample in enumerate(mix(0, count))
    ]


def laid_out(rows: Sequence[TokenRow], batch: int, layout: str) -> Iterator[Batch]:
    """Batches in one of `LAYOUTS`, without end."""
    order = list(range(len(rows)))
    if layout == "length buckets":
        order.sort(key=lambda index: (len(rows[index]), index))
        starts = list(range(0, len(order) - batch + 1, batch))
        # Batches of one length each, but not all short ones first.
        order = [
            i for k in range(7) for start in starts[k::7] for i in order[start : start + batch]
        ]
    while True:
        for start in range(0, len(order) - batch + 1, batch):
            part = [rows[index] for index in order[start : start + batch]]
            if layout == "packed":
                yield collate(part, "packed", 2 * MIX_ROW)
            else:
                buckets = 1 if layout == "padded to row" else None
                yield collate(part, "padded", 2 * MIX_ROW, buckets)


def leaks(model: AnyToAny, rows: Sequence[TokenRow]) -> int:
    """Samples of a packed batch whose loss changes when another one of its line changes.

    Bit for bit, in float32: 0 is right.
    """
    model.eval()
    first = rows[0]
    ids_T = first.ids_T.copy()
    ids_T[1:] = ids_T[:0:-1]  # the class id stays; targets too, by which losses are found again
    with torch.no_grad():
        before = _losses(model, rows)
        after = _losses(model, [replace(first, ids_T=ids_T), *rows[1:]])
    assert before[first.sample] != after[first.sample]  # the change is one that a loss shows
    return sum(before[row.sample] != after[row.sample] for row in rows[1:])


def _losses(model: AnyToAny, rows: Sequence[TokenRow]) -> dict[str, tuple[float, ...]]:
    """Losses of each sample's positions, by its key."""
    batch = collate(rows, "packed", 2 * MIX_ROW)
    nll_BT = model(batch).nll_BT
    documents = batch.layout.documents_BT
    lengths = batch.layout.cu_lengths.diff().tolist()
    found: dict[str, tuple[float, ...]] = {}
    for document, length in enumerate(lengths):
        here_BT = documents == document
        assert int(here_BT.sum()) == length
        ids = tuple(batch.targets_BT[here_BT].tolist())
        row = next(row for row in rows if tuple(row.targets_T.tolist()) == ids)
        found[row.sample] = tuple(nll_BT[here_BT].tolist())
    return found
