"""Changing one sample of a packed row changes no other sample's loss, bitwise in float32.

Over the whole model, through every backbone, with the gradients of the other samples' losses.
B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.registry import Builder, Registry
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import small_sample, small_vocabulary

HYBRID = {"attention_every": 2, "attention": {"kind": "transformer", "settings": {"heads": 4}}}
MAMBA = {"width": 32, "depth": 2, "head_dim": 8, "state": 8, "chunk": 8}
BACKBONES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "sdpa": ("transformer", {"width": 32, "depth": 2, "heads": 4, "attention": "sdpa"}),
    "matmul": ("transformer", {"width": 32, "depth": 2, "heads": 4, "attention": "matmul"}),
    "lines": ("transformer", {"width": 32, "depth": 2, "heads": 4, "attention": "lines"}),
    "window": ("transformer", {"width": 32, "depth": 2, "heads": 4, "kv_heads": 2, "window": 3}),
    "mamba1": ("mamba.mamba1", {"width": 32, "depth": 2, "state": 8}),
    "mamba2": ("mamba.mamba2", MAMBA),
    "mamba2 hybrid": ("mamba.mamba2", {**MAMBA, **HYBRID}),
    "hyena": ("hyena.hyena", {"width": 32, "depth": 2}),
    "hyena of order 3": ("hyena.hyena", {"width": 32, "depth": 2, "order": 3}),
}
SAMPLES = 8


@pytest.fixture(scope="module")
def builder() -> Builder:
    names = {"mamba", "hyena"}
    return Builder(Registry.discover(names, names))


def _model(builder: Builder, name: str) -> AnyToAny:
    kind, settings = BACKBONES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AnyToAny(small_vocabulary(), builder.build(kind, settings))


def _packed(changed: int | None = None) -> Batch:
    """Pairs in packed rows; the sample of number `changed` holds other tokens in as many places."""
    pairs = [("image", "text"), ("text", "speech"), ("speech", "text"), ("text", "image")]
    vocabulary = small_vocabulary()
    rows = []
    for number in range(SAMPLES):
        step = int(number == changed)
        segments = [
            Segment(name, (np.asarray(tokens) + step) % vocabulary[name].vocab_size)
            for name, tokens in small_sample(number, *pairs[number % 4]).parts
        ]
        rows.append(build_row(vocabulary, segments, str(number)))
    batch = collate(rows, "packed", capacity=4 * max(map(len, rows)))
    assert batch.layout.packed
    return batch


def _losses(model: nn.Module, batch: Batch, changed_BT: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Losses of the other samples, and the gradient that their sum has at every parameter."""
    others_BT = model(batch).nll_BT * ~changed_BT
    gradients = torch.autograd.grad(others_BT.sum(), list(model.parameters()), allow_unused=True)
    return others_BT, [g for g in gradients if g is not None]


def _documents(batch: Batch, other: Batch) -> Tensor:
    """(B, T): where the document lies in which the two batches differ."""
    differ_BT = batch.ids_BT != other.ids_BT
    assert differ_BT.any()
    (number,) = batch.layout.documents_BT[differ_BT].unique().tolist()
    return batch.layout.documents_BT == number


@pytest.mark.parametrize("name", BACKBONES)
def test_a_changed_sample_changes_no_other_samples_loss_by_a_bit(
    builder: Builder, name: str
) -> None:
    model, one = _model(builder, name), _packed()
    for number in range(SAMPLES):
        two = _packed(changed=number)
        changed_BT = _documents(one, two)
        before_BT, gradients = _losses(model, one, changed_BT)
        after_BT, others = _losses(model, two, changed_BT)
        assert before_BT.isfinite().all()
        assert torch.equal(before_BT, after_BT), f"sample {number} is seen by others"
        own_BT = (model(one).nll_BT - model(two).nll_BT) * changed_BT
        assert own_BT.abs().max() > 0  # it did change
        # Not bitwise: a sum over all positions groups its terms around the changed one's zeros.
        for first, second in zip(gradients, others, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_a_backbone_that_lets_documents_see_each_other_is_found(builder: Builder) -> None:
    model, one = _model(builder, "sdpa"), _packed()
    inner = model.backbone

    class Leaking(nn.Module):
        width = inner.width

        def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
            return inner(x_BTD, replace(layout, packed=False))

    model.backbone = Leaking()
    seen = []
    for number in range(SAMPLES):
        two = _packed(changed=number)
        changed_BT = _documents(one, two)
        seen.append(
            not torch.equal(_losses(model, one, changed_BT)[0], _losses(model, two, changed_BT)[0])
        )
    assert any(seen)
