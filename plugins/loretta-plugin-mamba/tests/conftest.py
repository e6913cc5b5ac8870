"""Whole models for the tests: built, laid out and compared with the formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from loretta_plugin_mamba.mamba1 import build_mamba1
from loretta_plugin_mamba.mamba2 import build_mamba2
from loretta_plugin_mamba.settings import Mamba1Settings, Mamba2Settings
from loretta_plugin_mamba.stack import Stack
from torch import Tensor

from loretta_framework.api import SequenceLayout


class Notes:
    """A context that keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, str]] = {}

    def note(self, key: str, choice: str, reason: str) -> None:
        self.told[key] = (choice, reason)


def formed(kind: str, settings: Mapping[str, Any], notes: Notes | None = None) -> Stack:
    """A backbone of these settings; the same weights at every call."""
    torch.manual_seed(0)
    context: Any = notes or Notes()
    if kind == "mamba.mamba1":
        return build_mamba1(Mamba1Settings(**settings), context)
    return build_mamba2(Mamba2Settings(**settings), context)


def packed_layout(rows: Sequence[Sequence[int]]) -> SequenceLayout:
    """Documents of these lengths, packed into rows."""
    tokens = max(map(sum, rows))
    documents_BT = torch.full((len(rows), tokens), -1)
    positions_BT = torch.zeros(len(rows), tokens, dtype=torch.int64)
    number = 0
    for row, lengths in enumerate(rows):
        start = 0
        for length in lengths:
            documents_BT[row, start : start + length] = number
            positions_BT[row, start : start + length] = torch.arange(length)
            start, number = start + length, number + 1
    flat = [length for lengths in rows for length in lengths]
    ends = torch.tensor([0, *flat]).cumsum(0).to(torch.int32)
    packed = any(len(lengths) > 1 for lengths in rows)
    return SequenceLayout(documents_BT, positions_BT, ends, max(flat, default=0), packed)


def laid_out(model: Stack, slow: Callable[[Stack, Tensor], Tensor]) -> None:
    """Three documents in a row: outputs and gradients are those of the formulas, within 1e-5."""
    lengths = [11, 1, 19]
    torch.manual_seed(1)
    x_TD = torch.randn(sum(lengths), model.width)
    fast, reference = x_TD.clone().requires_grad_(), x_TD.clone().requires_grad_()
    got = model.eval()(fast[None], packed_layout([lengths]))[0]
    wanted = torch.cat([slow(model, part) for part in reference.split(lengths)])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * float(wanted.detach().abs().max()))
    names, parameters = zip(*model.named_parameters(), strict=True)
    weights = torch.linspace(-1, 1, got.numel()).view_as(got)
    grads = [
        torch.autograd.grad((out * weights).sum(), [leaf, *parameters])
        for out, leaf in ((got, fast), (wanted, reference))
    ]
    for name, one, other in zip(("x", *names), *grads, strict=True):
        most_allowed = 1e-5 * float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=most_allowed, msg=name)


@pytest.fixture
def models() -> SimpleNamespace:
    """`Notes`, `formed`, `packed_layout`, `laid_out`: tests are imported alone, without neighbours."""
    return SimpleNamespace(
        Notes=Notes, formed=formed, packed_layout=packed_layout, laid_out=laid_out
    )
