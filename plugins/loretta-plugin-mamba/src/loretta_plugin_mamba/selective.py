"""The selective scan of Mamba-1 (Gu and Dao, 2023, arXiv 2312.00752), parallel over pieces of a row.

In each channel e, with rates A_en < 0 and step sizes dt_te >= 0:

    h_t = exp(A dt_t) h_{t-1} + dt_t b_t x_t            (N,) a channel, 0 before a document's first
    y_t = c_t . h_t + D x_t                             token

A row is cut into pieces. Token by token, but in all pieces at once, each piece is computed from the
state 0; the states are handed from piece to piece; then, token by token again, the outputs follow.
So Q + C steps are taken instead of T, and nothing is divided by a decay: a document's start is a
factor of 0, exactly. With one piece the first round is left out.

B rows, T tokens, C pieces of a row, Q tokens of a piece, E channels, N state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

LEAST = -87.0
"""Exponents end here: exp of what float32 cannot hold takes five times as long."""


class _Pieces(NamedTuple):
    """`u` is dt x; `keep` is 0 where a document starts, else 1."""

    u_BCQE: Tensor
    dt_BCQE: Tensor
    rate_NE: Tensor
    b_BCQN: Tensor
    c_BCQN: Tensor
    keep_BCQ: Tensor


def selective_scan(
    x_BTE: Tensor,
    dt_BTE: Tensor,
    a_EN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_E: Tensor,
    starts_BT: Tensor,
    state_BNE: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Outputs float32 (B, T, E) and the state after the last token, float32 (B, N, E).

    Differentiable once. Its gradient computes the states again instead of keeping them, and has
    room for two numbers for each token, channel and state meanwhile.

    Args:
        x_BTE: inputs.
        dt_BTE: float32 step sizes, 0 at padding.
        a_EN: float32, below 0.
        b_BTN: how an input enters the state, shared by all channels.
        c_BTN: how the state is read.
        skip_E: float32, D.
        starts_BT: bool, True where a document starts: what was before is forgotten.
        state_BNE: float32 state before the first token.
        chunk: the most tokens of a piece; a row is cut evenly.
    """
    x_BTE, b_BTN, c_BTN = x_BTE.float(), b_BTN.float(), c_BTN.float()
    tokens = x_BTE.shape[1]
    if not tokens:
        return x_BTE, state_BNE
    size = -(-tokens // -(-tokens // chunk))
    room = -tokens % size
    u, dt, b, c = (
        torch.unflatten(functional.pad(part, (0, 0, 0, room)), 1, (-1, size))
        for part in (x_BTE * dt_BTE, dt_BTE, b_BTN, c_BTN)
    )
    keep_BCQ = functional.pad((~starts_BT).float(), (0, room), value=1.0).view(len(u), -1, size)
    y_BCQE, last_BNE = _Selective.apply(u, dt, a_EN.t().contiguous(), b, c, keep_BCQ, state_BNE)  # type: ignore[no-untyped-call]
    return torch.addcmul(y_BCQE.flatten(1, 2)[:, :tokens], x_BTE, skip_E), last_BNE


def selective_step(
    x_BTE: Tensor,
    dt_BTE: Tensor,
    a_EN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_E: Tensor,
    starts_BT: Tensor,
    state_BNE: Tensor,
) -> Tensor:
    """As `selective_scan` for one token a row (T = 1); the state is changed in place. (B, 1, E)."""
    x_BE, dt_BE = x_BTE[:, 0].float(), dt_BTE[:, 0]
    decay_BNE = torch.exp(dt_BE[:, None] * a_EN.t()) * ~starts_BT[:, :, None]
    state_BNE.mul_(decay_BNE)
    state_BNE.addcmul_(b_BTN[:, 0, :, None].float(), (dt_BE * x_BE)[:, None])
    with torch.autocast(x_BE.device.type, enabled=False):
        read_BTE = torch.bmm(c_BTN.float(), state_BNE)
    return torch.addcmul(read_BTE, x_BE[:, None], skip_E)


class _Selective(torch.autograd.Function):
    """Written by hand: autograd would keep every decay, product and state of every token."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor]:
        pieces, state_BNE = _Pieces(*given[:-1]), given[-1]
        with torch.autocast(state_BNE.device.type, enabled=False):
            begins_BCNE, last_BNE = _begins(pieces, state_BNE)
            y_BCQE = torch.empty_like(pieces.u_BCQE)
            state = begins_BCNE.clone()
            decay = torch.empty_like(state)
            for token in range(y_BCQE.shape[2]):
                _advance(pieces, token, state, decay)
                y_BCQE[:, :, token] = _read(pieces.c_BCQN[:, :, token], state)
            if last_BNE is None:
                last_BNE = state[:, -1].clone()
        ctx.save_for_backward(*pieces, begins_BCNE)
        return y_BCQE, last_BNE

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        *parts, begins_BCNE = ctx.saved_tensors
        with torch.autocast(begins_BCNE.device.type, enabled=False):
            return _gradients(_Pieces(*parts), begins_BCNE, *gradients)


def _advance(pieces: _Pieces, token: int, state_BCNE: Tensor, decay_BCNE: Tensor) -> None:
    """Put one token of every piece into the states, in place; `decay` becomes the token's."""
    torch.mul(pieces.dt_BCQE[:, :, token, None], pieces.rate_NE, out=decay_BCNE)
    decay_BCNE.clamp_(min=LEAST).exp_().mul_(pieces.keep_BCQ[:, :, token, None, None])
    state_BCNE.mul_(decay_BCNE)
    state_BCNE.addcmul_(pieces.b_BCQN[:, :, token, :, None], pieces.u_BCQE[:, :, token, None])


def _read(by_BCN: Tensor, state_BCNE: Tensor) -> Tensor:
    """sum_n by_n state_n: (B, C, E)."""
    return (by_BCN[:, :, None] @ state_BCNE)[:, :, 0]


def _whole_decay(pieces: _Pieces) -> Tensor:
    """By how much a state shrinks in each piece, (B, C, N, E)."""
    exponent_BCNE = pieces.dt_BCQE.sum(2)[:, :, None] * pieces.rate_NE
    return exponent_BCNE.clamp_(min=LEAST).exp_() * pieces.keep_BCQ.amin(2)[..., None, None]


def _begins(pieces: _Pieces, state_BNE: Tensor) -> tuple[Tensor, Tensor | None]:
    """The state before each piece (B, C, N, E); after the last, where that is known by now."""
    rows, count, size, _ = pieces.u_BCQE.shape
    if count == 1:
        return state_BNE[:, None].clone(), None
    ends = state_BNE.new_zeros(rows, count, *state_BNE.shape[1:])
    decay = torch.empty_like(ends)
    for token in range(size):
        _advance(pieces, token, ends, decay)
    whole, begins = _whole_decay(pieces), torch.empty_like(ends)
    for piece in range(count):
        begins[:, piece] = state_BNE
        state_BNE = torch.addcmul(ends[:, piece], whole[:, piece], state_BNE)
    return begins, state_BNE


def _states(pieces: _Pieces, begins_BCNE: Tensor) -> tuple[Tensor, Tensor]:
    """Before and after every token (Q + 1, B, C, N, E), and every decay (Q, B, C, N, E)."""
    size = pieces.u_BCQE.shape[2]
    states = begins_BCNE.new_empty(size + 1, *begins_BCNE.shape)
    decays = torch.empty_like(states[1:])
    states[0] = begins_BCNE
    for token in range(size):
        states[token + 1] = states[token]
        _advance(pieces, token, states[token + 1], decays[token])
    return states, decays


def _last_slopes(
    pieces: _Pieces, decays: Tensor, dy_BCQE: Tensor, dlast_BNE: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Gradients of the state after each piece (B, C, N, E); of the first state, if known by now."""
    count = dy_BCQE.shape[1]
    if count == 1:
        return dlast_BNE[:, None].clone(), None
    slope = torch.zeros_like(decays[0])
    for token in range(dy_BCQE.shape[2] - 1, -1, -1):
        slope.addcmul_(pieces.c_BCQN[:, :, token, :, None], dy_BCQE[:, :, token, None])
        slope.mul_(decays[token])
    whole, lasts = _whole_decay(pieces), torch.empty_like(slope)
    for piece in range(count - 1, -1, -1):
        lasts[:, piece] = dlast_BNE
        dlast_BNE = torch.addcmul(slope[:, piece], whole[:, piece], dlast_BNE)
    return lasts, dlast_BNE


def _gradients(
    pieces: _Pieces, begins_BCNE: Tensor, dy_BCQE: Tensor, dlast_BNE: Tensor
) -> tuple[Tensor | None, ...]:
    """Of every field of `_Pieces`, and of the first state."""
    states, decays = _states(pieces, begins_BCNE)
    slope, dfirst_BNE = _last_slopes(pieces, decays, dy_BCQE, dlast_BNE)
    du, ddt = torch.empty_like(pieces.u_BCQE), torch.empty_like(pieces.dt_BCQE)
    db, dc = torch.empty_like(pieces.b_BCQN), torch.empty_like(pieces.c_BCQN)
    drate, change = torch.zeros_like(slope), torch.empty_like(slope)
    for token in range(dy_BCQE.shape[2] - 1, -1, -1):
        dy_BCE, u_BCE = dy_BCQE[:, :, token], pieces.u_BCQE[:, :, token]
        dc[:, :, token] = (states[token + 1] @ dy_BCE[..., None])[..., 0]
        slope.addcmul_(pieces.c_BCQN[:, :, token, :, None], dy_BCE[:, :, None])
        du[:, :, token] = _read(pieces.b_BCQN[:, :, token], slope)
        db[:, :, token] = (slope @ u_BCE[..., None])[..., 0]
        slope.mul_(decays[token])
        torch.mul(slope, states[token], out=change)  # of the exponent A dt
        drate.addcmul_(change, pieces.dt_BCQE[:, :, token, None])
        ddt[:, :, token] = change.mul_(pieces.rate_NE).sum(2)
    if dfirst_BNE is None:
        dfirst_BNE = slope[:, 0]
    return du, ddt, drate.sum(1).sum(0), db, dc, None, dfirst_BNE
