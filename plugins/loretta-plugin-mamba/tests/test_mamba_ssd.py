"""Mamba-2's products against its recurrence, written with loops.

B rows, T tokens, H heads, P width of a head, N state, E channels, K taps.
"""

from __future__ import annotations

import pytest
import torch
from loretta_plugin_mamba.convolution import convolve, last_inputs
from loretta_plugin_mamba.kernels import PLAIN
from loretta_plugin_mamba.mamba2 import Mamba2
from loretta_plugin_mamba.settings import TRIAL, Mamba2Settings
from loretta_plugin_mamba.ssd import ssd
from torch import Tensor
from torch.nn import functional

from loretta_framework.api import SequenceLayout


def sequential(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    segments_BT: Tensor,
    state_BHPN: Tensor,
    chunk: int = 0,
) -> tuple[Tensor, Tensor]:
    """The same as `ssd`, one row and one token after the other."""
    outputs, states = [], []
    for row in range(len(x_BTHP)):
        state_HPN, segment, made = state_BHPN[row], 0, []
        for t in range(x_BTHP.shape[1]):
            if int(segments_BT[row, t]) != segment:
                segment, state_HPN = int(segments_BT[row, t]), torch.zeros_like(state_HPN)
            decay_H = torch.exp(a_H * dt_BTH[row, t])
            input_HP = dt_BTH[row, t, :, None] * x_BTHP[row, t]
            state_HPN = decay_H[:, None, None] * state_HPN + input_HP[..., None] * b_BTN[row, t]
            made.append((state_HPN * c_BTN[row, t]).sum(-1))
        outputs.append(torch.stack(made))
        states.append(state_HPN)
    return torch.stack(outputs), torch.stack(states)


def drawn(tokens: int, lengths: list[list[int]], most: float) -> list[Tensor]:
    """Inputs of `ssd` in float32: two heads, width 3, state 4; `lengths` are segments of each row."""
    torch.manual_seed(tokens)
    rows = len(lengths)
    segments = [
        [number for number, length in enumerate(row) for _ in range(length)] for row in lengths
    ]
    return [
        torch.randn(rows, tokens, 2, 3),
        torch.rand(rows, tokens, 2) * most,
        -torch.tensor([0.7, 16.0]),
        torch.randn(rows, tokens, 4),
        torch.randn(rows, tokens, 4),
        torch.tensor(segments),
        torch.randn(rows, 2, 3, 4),
    ]


CASES = {
    "one token": (1, [[1], [0, 1]]),
    "less than a chunk": (5, [[5], [2, 3]]),
    "a whole chunk": (8, [[8], [0, 8]]),
    "many chunks": (37, [[37], [3, 5, 0, 20, 1, 8]]),
    "starts at the borders of chunks": (24, [[8, 8, 8], [7, 1, 9, 7]]),
}


@pytest.mark.parametrize("most", [0.1, 6.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_products_equal_the_recurrence(case: tuple[int, list[list[int]]], most: float) -> None:
    given = drawn(*case, most)
    results = []
    for form in (ssd, sequential):
        leaves = [part.clone() for part in given]
        traced = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point()]
        y_BTHP, state_BHPN = form(*leaves, 8)
        total = (y_BTHP * torch.linspace(-1, 1, y_BTHP.numel()).view_as(y_BTHP)).sum()
        total = total + (state_BHPN * state_BHPN).sum()
        results.append([y_BTHP, state_BHPN, *torch.autograd.grad(total, traced)])
    for got, wanted in zip(*results, strict=True):
        most_allowed = 2e-6 * float(wanted.detach().abs().max())
        assert float((got - wanted).detach().abs().max()) <= most_allowed


def test_padding_hands_the_state_on() -> None:
    x, dt, a, b, c, segments, state = drawn(13, [[13], [13]], 0.5)
    _, before = ssd(x[:, :6], dt[:, :6], a, b[:, :6], c[:, :6], segments[:, :6], state, 8)
    dt = dt.clone()
    dt[:, 6:] = 0
    _, after = ssd(x[:, :8], dt[:, :8], a, b[:, :8], c[:, :8], segments[:, :8], state, 8)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
    still = ssd(x[:, 6:], dt[:, 6:], a, b[:, 6:], c[:, 6:], segments[:, 6:], state, 8)[1]
    assert torch.equal(still, state)


def test_the_chunk_changes_rounding_only() -> None:
    given = drawn(37, [[37], [3, 34]], 0.3)
    whole, _ = ssd(*given, 64)
    for chunk in (1, 5, 16):
        torch.testing.assert_close(ssd(*given, chunk)[0], whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [64, 256, 1024])
def test_long_chunks_lose_no_digits(chunk: int) -> None:
    given = drawn(1024, [[1024], [100, 924]], 6.0)
    exact = [part.double() if part.is_floating_point() else part for part in given]
    wanted, _ = sequential(*exact)
    error = float((ssd(*given, chunk)[0] - wanted).abs().max())
    assert error <= 1e-6 * float(wanted.abs().max())


def test_no_tokens_leave_the_state_as_it_is() -> None:
    *given, state = drawn(1, [[1], [1]], 0.5)
    x, dt, a, b, c, segments = given
    y, after = ssd(x[:, :0], dt[:, :0], a, b[:, :0], c[:, :0], segments[:, :0], state, 8)
    assert y.shape == (2, 0, 2, 3)
    assert torch.equal(after, state)
    model = Mamba2(Mamba2Settings(**TRIAL.settings), PLAIN)
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    layout = SequenceLayout(nothing, nothing, torch.zeros(1, dtype=torch.int32), 0, packed=False)
    assert model(torch.zeros(2, 0, 16), layout).shape == (2, 0, 16)
    cache = model.new_cache(2, 4)
    assert model.extend(torch.zeros(2, 0, 16), layout, cache).shape == (2, 0, 16)
    assert not cache.state_LBHPN.any()


def test_the_convolution_stays_in_its_document() -> None:
    torch.manual_seed(0)
    x_BTE, weight_EK, bias_E = torch.randn(1, 9, 2), torch.randn(2, 4), torch.randn(2)
    window_BTE = functional.pad(x_BTE, (0, 0, 3, 0))
    positions_BT = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 0, 1]])
    out_BTE = convolve(window_BTE, weight_EK, bias_E, positions_BT)
    for t in range(9):
        taps = min(4, int(positions_BT[0, t]) + 1)
        wanted_E = bias_E + sum(weight_EK[:, 3 - k] * x_BTE[0, t - k] for k in range(taps))
        torch.testing.assert_close(out_BTE[0, t], wanted_E)


def test_the_last_inputs_are_those_before_the_padding() -> None:
    window_BTE = torch.arange(2 * 7, dtype=torch.float32).view(2, 7, 1)
    kept_BKE = last_inputs(window_BTE, 4, torch.tensor([4, 1]))
    assert kept_BKE[..., 0].tolist() == [[4, 5, 6], [8, 9, 10]]


def slow(model: Mamba2, x_TD: Tensor) -> Tensor:
    """The whole model on one document, token by token, from the formulas of the paper."""
    settings = model.settings
    inner, state = settings.inner, settings.state
    for block in model.blocks:
        mixer, memory_HPN = block.mixer, torch.zeros(settings.heads, settings.head_dim, state)
        inputs, outputs = [], []
        for x_D in x_TD:
            projected = mixer.inward.weight @ block.norm(x_D)
            gate, mixed, dt = projected.split([inner, inner + 2 * state, settings.heads])
            inputs.append(mixed)
            total = mixer.conv_bias
            for back, past in enumerate(inputs[::-1][: settings.conv]):
                total = total + mixer.conv_weight[:, -1 - back] * past
            value, b_N, c_N = functional.silu(total).split([inner, state, state])
            value_HP = value.view(settings.heads, settings.head_dim)
            dt_H = functional.softplus(dt + mixer.dt_bias)
            decay_H = torch.exp(-torch.exp(mixer.A_log) * dt_H)
            added_HPN = (dt_H[:, None] * value_HP)[..., None] * b_N
            memory_HPN = decay_H[:, None, None] * memory_HPN + added_HPN
            y_HP = memory_HPN @ c_N + mixer.D[:, None] * value_HP
            gated = mixer.norm(y_HP.flatten() * functional.silu(gate))
            outputs.append(x_D + mixer.outward.weight @ gated)
        x_TD = torch.stack(outputs)
    return model.norm(x_TD)


def test_the_whole_model_equals_the_formulas() -> None:
    torch.manual_seed(0)
    model = Mamba2(Mamba2Settings(**TRIAL.settings), PLAIN).eval()
    lengths = [11, 1, 19]
    x_TD = torch.randn(31, 16)
    documents_BT = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    positions_BT = torch.cat([torch.arange(n) for n in lengths])[None]
    ends = torch.tensor([0, 11, 12, 31], dtype=torch.int32)
    layout = SequenceLayout(documents_BT, positions_BT, ends, 19, packed=True)
    fast, reference = x_TD.clone().requires_grad_(), x_TD.clone().requires_grad_()
    got = model(fast[None], layout)[0]
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
