"""The short convolution and the gated norm, against what autograd makes of the formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loretta_plugin_mamba.convolution import convolve_on, plain_convolve
from loretta_plugin_mamba.gate import gated_norm
from loretta_plugin_mamba.tokens import Tokens
from torch import Tensor
from torch.nn import functional


def slow(x_TE: Tensor, weight_EK: Tensor, bias_E: Tensor, lengths: list[int]) -> Tensor:
    """One row, token by token."""
    taps, outputs = weight_EK.shape[1], []
    for part in x_TE.split(lengths):
        for t in range(len(part)):
            seen = sum(weight_EK[:, -1 - k] * part[t - k] for k in range(min(taps, t + 1)))
            outputs.append(functional.silu(bias_E + seen))
    return torch.stack(outputs)


@pytest.mark.parametrize("lengths", [[9], [5, 2, 2], [1, 1], [2]])
@pytest.mark.parametrize("taps", [1, 4])
def test_the_convolution_stays_in_its_document(lengths: list[int], taps: int, models: Any) -> None:
    torch.manual_seed(0)
    tokens = Tokens.of(models.packed_layout([lengths]))
    wide_TE = torch.randn(sum(lengths), 6)
    leaves = [wide_TE, torch.randn(3, taps), torch.randn(3)]
    results = []
    for form in ("fast", "slow"):
        x, weight, bias = (leaf.clone().requires_grad_() for leaf in leaves)
        part = x[:, 1:4]  # rows that are strided, as the mixers have them
        if form == "fast":
            out = plain_convolve(part[None], weight, bias, tokens)[0]
        else:
            out = slow(part, weight, bias, lengths)
        total = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
        results.append([out, *torch.autograd.grad(total, [x, weight, bias])])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_last_inputs_are_those_before_the_padding(models: Any) -> None:
    x_BTE = torch.arange(2 * 4, dtype=torch.float32).view(2, 4, 1)
    kept_BKE = -torch.arange(2 * 3, dtype=torch.float32).view(2, 3, 1)
    tokens = Tokens.of(models.packed_layout([[4], [1]]))
    convolve_on(x_BTE, torch.randn(1, 4), torch.zeros(1), tokens, kept_BKE)
    assert kept_BKE[..., 0].tolist() == [[1, 2, 3], [-4, -5, 4]]


def test_the_gated_norm_has_the_gradients_of_its_formula() -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(2, 5, 7), torch.randn(2, 5, 9), torch.randn(7)]
    results = []
    for form in ("fast", "slow"):
        y, wide, weight = (leaf.clone().requires_grad_() for leaf in leaves)
        gate = wide[..., 1:8]
        if form == "fast":
            out = gated_norm(y, gate, weight, 1e-6)
        else:
            out = functional.rms_norm(y * functional.silu(gate), (7,), weight, 1e-6)
        total = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
        results.append([out, *torch.autograd.grad(total, [y, wide, weight])])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)
