"""Mamba-1's scan against its recurrence, written with loops.

B rows, T tokens, E channels, N state.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loretta_plugin_mamba.selective import selective_scan, selective_step
from loretta_plugin_mamba.settings import TRIAL_1, Mamba1Settings
from loretta_plugin_mamba.stack import Stack
from torch import Tensor
from torch.nn import functional


def sequential(
    x_BTE: Tensor,
    dt_BTE: Tensor,
    a_EN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_E: Tensor,
    starts_BT: Tensor,
    state_BNE: Tensor,
    chunk: int = 0,
) -> tuple[Tensor, Tensor]:
    """The same as `selective_scan`, one row and one token after the other."""
    outputs, states = [], []
    for row in range(len(x_BTE)):
        state_NE, made = state_BNE[row], []
        for t in range(x_BTE.shape[1]):
            if starts_BT[row, t]:
                state_NE = torch.zeros_like(state_NE)
            decay_NE = torch.exp(a_EN.t() * dt_BTE[row, t])
            state_NE = decay_NE * state_NE + b_BTN[row, t, :, None] * dt_BTE[row, t] * x_BTE[row, t]
            made.append((state_NE * c_BTN[row, t, :, None]).sum(0) + skip_E * x_BTE[row, t])
        outputs.append(torch.stack(made))
        states.append(state_NE)
    return torch.stack(outputs), torch.stack(states)


def drawn(tokens: int, starts: list[list[int]], most: float) -> list[Tensor]:
    """Inputs of `selective_scan` in float32: five channels, state 3."""
    torch.manual_seed(tokens)
    rows = len(starts)
    starts_BT = torch.zeros(rows, tokens, dtype=torch.bool)
    for row, places in enumerate(starts):
        starts_BT[row, places] = True
    return [
        torch.randn(rows, tokens, 5),
        torch.rand(rows, tokens, 5) * most,
        -torch.linspace(0.5, 16.0, 15).view(5, 3),
        torch.randn(rows, tokens, 3),
        torch.randn(rows, tokens, 3),
        torch.randn(5),
        starts_BT,
        torch.randn(rows, 3, 5),
    ]


CASES = {
    "one token": (1, [[], [0]]),
    "less than a piece": (5, [[], [0, 2]]),
    "whole pieces": (24, [[0, 8, 16], [7, 9]]),
    "many pieces": (37, [[], [3, 8, 28, 29]]),
}


@pytest.mark.parametrize("chunk", [1, 8, 64])
@pytest.mark.parametrize("most", [0.1, 6.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_pieces_equal_the_recurrence(
    case: tuple[int, list[list[int]]], most: float, chunk: int
) -> None:
    given = drawn(*case, most)
    results = []
    for form in (selective_scan, sequential):
        leaves = [part.clone() for part in given]
        traced = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point()]
        y_BTE, state_BNE = form(*leaves, chunk)
        total = (y_BTE * torch.linspace(-1, 1, y_BTE.numel()).view_as(y_BTE)).sum()
        total = total + (state_BNE * state_BNE).sum()
        results.append([y_BTE, state_BNE, *torch.autograd.grad(total, traced)])
    for got, wanted in zip(*results, strict=True):
        most_allowed = 2e-6 * float(wanted.detach().abs().max())
        assert float((got - wanted).detach().abs().max()) <= most_allowed


@pytest.mark.parametrize("chunk", [8, 64])
def test_padding_hands_the_state_on(chunk: int) -> None:
    given = drawn(13, [[], []], 0.5)
    given[1] = torch.zeros_like(given[1])
    assert torch.equal(selective_scan(*given, chunk)[1], given[-1])


def test_one_token_is_a_step_of_the_recurrence() -> None:
    given = drawn(1, [[], [0]], 0.5)
    wanted, last = sequential(*given)
    torch.testing.assert_close(selective_step(*given), wanted)
    torch.testing.assert_close(given[-1], last)


def test_no_tokens_leave_the_state_as_it_is() -> None:
    x, dt, a, b, c, skip, starts, state = drawn(1, [[], []], 0.5)
    nothing = (x[:, :0], dt[:, :0], a, b[:, :0], c[:, :0], skip, starts[:, :0], state)
    y, after = selective_scan(*nothing, 8)
    assert y.shape == (2, 0, 5)
    assert torch.equal(after, state)


def slow(model: Stack, x_TD: Tensor) -> Tensor:
    """The whole model on one document, token by token, from the formulas of the paper."""
    settings = model.settings
    assert isinstance(settings, Mamba1Settings)
    sizes = [settings.rank, settings.state, settings.state]
    for block in model.blocks:
        mixer, memory_EN = block.mixer, torch.zeros(settings.inner, settings.state)
        inputs, outputs = [], []
        for x_D in x_TD:
            value, gate = (mixer.inward.weight @ block.norm(x_D)).chunk(2)
            inputs.append(value)
            total = mixer.conv_bias
            for back, past in enumerate(inputs[::-1][: settings.conv]):
                total = total + mixer.conv_weight[:, -1 - back] * past
            value_E = functional.silu(total)
            low, b_N, c_N = (mixer.select.weight @ value_E).split(sizes)
            dt_E = functional.softplus(mixer.steps.weight @ low + mixer.dt_bias)
            decay_EN = torch.exp(-torch.exp(mixer.A_log) * dt_E[:, None])
            memory_EN = decay_EN * memory_EN + (dt_E * value_E)[:, None] * b_N
            y_E = memory_EN @ c_N + mixer.D * value_E
            outputs.append(x_D + mixer.outward.weight @ (y_E * functional.silu(gate)))
        x_TD = torch.stack(outputs)
    return model.norm(x_TD)


@pytest.mark.parametrize("chunk", [8, "auto"])
def test_the_whole_model_equals_the_formulas(chunk: int | str, models: Any) -> None:
    model = models.formed("mamba.mamba1", {**TRIAL_1.settings, "chunk": chunk})
    models.laid_out(model, slow)
