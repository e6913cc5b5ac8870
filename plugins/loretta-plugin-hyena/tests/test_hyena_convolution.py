"""The long and the short convolution against sums written out, and documents against lines alone.

C channels, N lines, L tokens of a line, K taps.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from loretta_plugin_hyena.convolution import (
    TOEPLITZ_TOKENS,
    Fourier,
    Toeplitz,
    convolve,
    fft_size,
)
from loretta_plugin_hyena.documents import Documents
from loretta_plugin_hyena.short import convolve_short
from torch import Tensor

from loretta_framework.api import SequenceLayout

FORMS = {"toeplitz": Toeplitz, "fourier": Fourier}


def naive(v_CNL: Tensor, h_CL: Tensor) -> Tensor:
    """Token by token."""
    made = [
        (v_CNL[..., : t + 1] * h_CL[:, None, : t + 1].flip(-1)).sum(-1)
        for t in range(v_CNL.shape[-1])
    ]
    return torch.stack(made, dim=-1)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("tokens", [1, 2, 3, 17, 64, 65, 150])
def test_both_forms_equal_the_sum(form: type[torch.autograd.Function], tokens: int) -> None:
    torch.manual_seed(tokens)
    leaves = [torch.randn(3, 4, tokens), torch.randn(3, tokens)]
    results = []
    for computed in (form.apply, naive):
        given_ = [leaf.clone().requires_grad_() for leaf in leaves]
        out_CNL = computed(*given_)
        weights = torch.linspace(-1, 1, out_CNL.numel()).view_as(out_CNL)
        results.append([out_CNL, *torch.autograd.grad((out_CNL * weights).sum(), given_)])
    for got, wanted in zip(*results, strict=True):
        assert got.shape == wanted.shape
        # 2^-23 for each of sqrt(L) independent roundings, and 8 for the stages of a transform.
        most = 8 * 2**-23 * tokens**0.5 * float(wanted.detach().abs().max())
        assert float((got - wanted).detach().abs().max()) <= most


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_gradients_in_float64(form: type[torch.autograd.Function]) -> None:
    torch.manual_seed(0)
    leaves = (
        torch.randn(2, 2, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(2, 5, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(form.apply, leaves)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("fixed", [0, 1])
def test_a_gradient_that_is_not_asked_for_is_not_computed(
    form: type[torch.autograd.Function], fixed: int
) -> None:
    leaves = [torch.randn(2, 3, 7, requires_grad=True), torch.randn(2, 7, requires_grad=True)]
    both = torch.autograd.grad(form.apply(*leaves).square().sum(), leaves)
    leaves[fixed].requires_grad_(False)
    (one,) = torch.autograd.grad(form.apply(*leaves).square().sum(), leaves[1 - fixed])
    assert torch.equal(one, both[1 - fixed])


def test_the_form_follows_from_the_length_alone() -> None:
    for tokens, form in ((TOEPLITZ_TOKENS, Toeplitz), (TOEPLITZ_TOKENS + 1, Fourier)):
        for lines in (1, 9):
            v_CNL, h_CL = torch.randn(2, lines, tokens), torch.randn(2, tokens)
            assert torch.equal(convolve(v_CNL, h_CL), form.apply(v_CNL, h_CL))
    nothing = torch.zeros(2, 3, 0)
    assert convolve(nothing, torch.zeros(2, 0)) is nothing


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("tokens", [33, 257])
def test_short_precisions_outside_do_not_reach_inside(
    form: type[torch.autograd.Function], tokens: int
) -> None:
    torch.manual_seed(0)
    v_CNL, h_CL = torch.randn(2, 3, tokens), torch.randn(2, tokens, requires_grad=True)
    wanted = form.apply(v_CNL, h_CL)
    (wanted_grad,) = torch.autograd.grad(wanted.square().sum(), h_CL)
    with torch.autocast("cpu", torch.bfloat16):
        got = form.apply(v_CNL, h_CL)
        (got_grad,) = torch.autograd.grad(got.square().sum(), h_CL)
    assert torch.equal(got, wanted)
    assert torch.equal(got_grad, wanted_grad)


@given(st.integers(1, 1 << 20))
def test_nothing_wraps_around(tokens: int) -> None:
    size = fft_size(tokens)
    assert 2 * tokens <= size <= 2.7 * tokens + 2
    while size % 2 == 0:
        size //= 2
    assert size in (1, 3, 5)


@pytest.mark.parametrize("taps", [1, 2, 3, 4])
def test_the_short_convolution(taps: int) -> None:
    torch.manual_seed(0)
    x_CNL = torch.randn(2, 2, 5, dtype=torch.float64, requires_grad=True)
    weight_CK = torch.randn(2, taps, dtype=torch.float64, requires_grad=True)
    out_CNL = convolve_short(x_CNL, weight_CK)
    for t in range(5):
        seen = range(min(taps, t + 1))
        wanted = sum(weight_CK[:, None, taps - 1 - k] * x_CNL[..., t - k] for k in seen)
        torch.testing.assert_close(out_CNL[..., t], wanted)
    assert torch.autograd.gradcheck(convolve_short, (x_CNL, weight_CK))


def packed(lines: list[list[int]], tokens: int) -> SequenceLayout:
    """Documents of these lengths, in rows of `tokens`."""
    documents_BT = torch.full((len(lines), tokens), -1)
    positions_BT = torch.zeros(len(lines), tokens, dtype=torch.int64)
    lengths: list[int] = []
    for row, line in enumerate(lines):
        start = 0
        for length in line:
            documents_BT[row, start : start + length] = len(lengths)
            positions_BT[row, start : start + length] = torch.arange(length)
            start += length
            lengths.append(length)
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return SequenceLayout(documents_BT, positions_BT, ends, max(lengths), packed=True)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_documents_go_to_lines_of_their_own_and_back(lines: list[list[int]], spare: int) -> None:
    tokens = max(map(sum, lines)) + spare
    layout = packed(lines, tokens)
    documents = Documents.of(layout)
    lengths = [length for line in lines for length in line]
    assert (documents.lines, documents.tokens) == (len(lengths), max(lengths))
    torch.manual_seed(0)
    x_BTD = torch.randn(len(lines), tokens, 2, dtype=torch.float64, requires_grad=True)
    lined_NLD = documents.lined(x_BTD)
    for number, length in enumerate(lengths):
        own = x_BTD[layout.documents_BT == number]
        assert torch.equal(lined_NLD[number, :length], own)
        assert not lined_NLD[number, length:].any()
    back_BTD = documents.in_rows(lined_NLD)
    assert torch.equal(back_BTD, x_BTD * documents.real_BT[..., None])
    weights = torch.randn_like(back_BTD)
    (grad_BTD,) = torch.autograd.grad((back_BTD * weights).sum(), x_BTD)
    assert torch.equal(grad_BTD, weights * documents.real_BT[..., None])
