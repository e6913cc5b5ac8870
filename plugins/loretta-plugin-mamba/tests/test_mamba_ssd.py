"""Mamba-2's products against its recurrence, written with loops.

B rows, T tokens, H heads, P width of a head, N state, E channels, K taps.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loretta_plugin_mamba.settings import TRIAL, Mamba2Settings
from loretta_plugin_mamba.ssd import ssd, ssd_step
from loretta_plugin_mamba.stack import Stack
from torch import Tensor
from torch.nn import functional


def sequential(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_H: Tensor,
    segments_BT: Tensor,
    state_BNHP: Tensor,
    chunk: int = 0,
) -> tuple[Tensor, Tensor]:
    """The same as `ssd`, one row and one token after the other."""
    outputs, states = [], []
    for row in range(len(x_BTHP)):
        state_NHP, segment, made = state_BNHP[row], 0, []
        for t in range(x_BTHP.shape[1]):
            if int(segments_BT[row, t]) != segment:
                segment, state_NHP = int(segments_BT[row, t]), torch.zeros_like(state_NHP)
            decay_H1 = torch.exp(a_H * dt_BTH[row, t])[:, None]
            input_HP = dt_BTH[row, t, :, None] * x_BTHP[row, t]
            state_NHP = decay_H1 * state_NHP + b_BTN[row, t, :, None, None] * input_HP
            read_HP = (state_NHP * c_BTN[row, t, :, None, None]).sum(0)
            made.append(read_HP + skip_H[:, None] * x_BTHP[row, t])
        outputs.append(torch.stack(made))
        states.append(state_NHP)
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
        torch.tensor([0.5, -1.0]),
        torch.tensor(segments),
        torch.randn(rows, 4, 2, 3),
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
        y_BTHP, state_BNHP = form(*leaves, 8)
        total = (y_BTHP * torch.linspace(-1, 1, y_BTHP.numel()).view_as(y_BTHP)).sum()
        total = total + (state_BNHP * state_BNHP).sum()
        results.append([y_BTHP, state_BNHP, *torch.autograd.grad(total, traced)])
    for got, wanted in zip(*results, strict=True):
        most_allowed = 2e-6 * float(wanted.detach().abs().max())
        assert float((got - wanted).detach().abs().max()) <= most_allowed


def between(given: list[Tensor], first: int, stop: int) -> list[Tensor]:
    """The same inputs, of these tokens alone."""
    return [
        part[:, first:stop] if part.ndim > 1 and part.shape[1] == 13 else part for part in given
    ]


def test_padding_hands_the_state_on() -> None:
    given = drawn(13, [[13], [13]], 0.5)
    _, before = ssd(*between(given, 0, 6), 8)
    given[1] = given[1].clone()
    given[1][:, 6:] = 0
    _, after = ssd(*between(given, 0, 8), 8)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
    still = ssd(*between(given, 6, 13), 8)[1]
    assert torch.equal(still, given[-1])


def test_one_token_is_a_step_of_the_recurrence() -> None:
    given = drawn(1, [[1], [0, 1]], 0.5)
    wanted, last = sequential(*given)
    *parts, segments_BT, state = given
    y_BTHP = ssd_step(*parts, segments_BT > 0, state)
    torch.testing.assert_close(y_BTHP, wanted)
    torch.testing.assert_close(state, last)


def test_other_documents_change_no_bit_of_outputs_and_gradients() -> None:
    results = []
    for stir in (1.0, -3.0):
        given = drawn(37, [[5, 20, 12], [1, 36]], 2.0)
        segments_BT = given[6].clone()
        given[6] = segments_BT + 1
        mine_BT = segments_BT == 1
        for number in (0, 1, 3, 4):
            part = given[number]
            other = part.abs() * 3 if number == 1 else part * stir
            inside = mine_BT.view(*mine_BT.shape, *[1] * (part.ndim - 2))
            given[number] = (part if stir == 1.0 else torch.where(inside, part, other)).clone()
            given[number].requires_grad_()
        y_BTHP, _ = ssd(*given, 8)
        weights = torch.linspace(-1, 1, y_BTHP.numel()).view_as(y_BTHP)
        leaves = [given[number] for number in (0, 1, 3, 4)]
        grads = torch.autograd.grad((y_BTHP * weights).sum(), leaves)
        results.append([part[mine_BT] for part in (y_BTHP, *grads)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


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
    x, dt, a, b, c, skip, segments, state = drawn(1, [[1], [1]], 0.5)
    y, after = ssd(x[:, :0], dt[:, :0], a, b[:, :0], c[:, :0], skip, segments[:, :0], state, 8)
    assert y.shape == (2, 0, 2, 3)
    assert torch.equal(after, state)


def slow(model: Stack, x_TD: Tensor) -> Tensor:
    """The whole model on one document, token by token, from the formulas of the paper."""
    settings = model.settings
    assert isinstance(settings, Mamba2Settings)
    inner, state = settings.inner, settings.state
    for block in model.blocks:
        mixer, memory_NHP = block.mixer, torch.zeros(state, settings.heads, settings.head_dim)
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
            dt_H1 = functional.softplus(dt + mixer.dt_bias)[:, None]
            decay_H1 = torch.exp(-torch.exp(mixer.A_log)[:, None] * dt_H1)
            memory_NHP = decay_H1 * memory_NHP + b_N[:, None, None] * (dt_H1 * value_HP)
            y_HP = (memory_NHP * c_N[:, None, None]).sum(0) + mixer.D[:, None] * value_HP
            gated = mixer.norm(y_HP.flatten() * functional.silu(gate))
            outputs.append(x_D + mixer.outward.weight @ gated)
        x_TD = torch.stack(outputs)
    return model.norm(x_TD)


@pytest.mark.parametrize("chunk", [8, "auto"])
def test_the_whole_model_equals_the_formulas(chunk: int | str, models: Any) -> None:
    model = models.formed("mamba.mamba2", {**TRIAL.settings, "chunk": chunk})
    models.laid_out(model, slow)
