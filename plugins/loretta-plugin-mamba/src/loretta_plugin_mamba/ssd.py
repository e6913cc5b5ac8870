"""State space duality: the recurrence of Mamba-2 as matrix products (arXiv 2405.21060, section 6).

In each head, with A < 0 and step sizes dt >= 0:

    h_t = exp(A dt_t) h_{t-1} + dt_t b_t x_t^T          (N, P), 0 before a document's first token
    y_t = h_t^T c_t + D x_t

Within a chunk of Q tokens, y = (L o C B^T) (dt x) with L_ij = exp(sum of A dt over j < k <= i) in
the same document, 0 elsewhere; from chunk to chunk only h is handed on. A step size of 0 hands h on
as it is: that is what padding has.

B rows, T tokens, G chunks of all rows, Q tokens of a chunk, H heads, P width of a head, N state.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from loretta_plugin_mamba.chunks import Chunks, scan_chunks


def ssd(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_H: Tensor,
    segments_BT: Tensor,
    state_BNHP: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Outputs float32 (B, T, H, P), state after the last token, float32 (B, N, H, P). Differentiable once.

    Args:
        x_BTHP: inputs.
        dt_BTH: float32 step sizes, 0 at padding. Where one is 0, its own gradient is left out.
        a_H: float32, below 0.
        b_BTN: how an input enters the state, shared by all heads.
        c_BTN: how the state is read.
        skip_H: float32, D.
        segments_BT: int64, non-decreasing along T; tokens of one segment see each other. The state
            given belongs to segment 0.
        state_BNHP: float32 state before the first token.
        chunk: the most tokens of a product; a row is cut evenly.
    """
    tokens = x_BTHP.shape[1]
    if not tokens:
        return x_BTHP.float(), state_BNHP
    size = -(-tokens // -(-tokens // chunk))
    room = -tokens % size
    segments_BT = torch.cat([segments_BT, segments_BT[:, -1:].expand(-1, room)], dim=1)
    x, dt, b, c = (
        functional.pad(part, (0, 0) * (part.ndim - 2) + (0, room)) if room else part
        for part in (x_BTHP, dt_BTH, b_BTN, c_BTN)
    )
    parts = (torch.unflatten(part, 1, (-1, size)).flatten(0, 1) for part in (x, dt, dt * a_H, b, c))
    x, dt, rate, b, c = parts
    chunks = Chunks(x, dt, rate, b, c, skip_H, state_BNHP, *_documents(segments_BT, dt))
    y_GQHP, last_BNHP = scan_chunks(chunks, _dtype(x_BTHP))
    y_BTHP = torch.unflatten(y_GQHP, 0, (len(x_BTHP), -1)).flatten(1, 2)
    return y_BTHP[:, :tokens], last_BNHP


def ssd_step(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_H: Tensor,
    starts_BT: Tensor,
    state_BNHP: Tensor,
) -> Tensor:
    """As `ssd` for one token a row (T = 1); the state is changed in place. Returns (B, 1, H, P).

    `starts_BT` is True where a document starts.
    """
    x_BHP, dt_BH = x_BTHP[:, 0].float(), dt_BTH[:, 0]
    kept_BH = torch.exp(dt_BH * a_H) * ~starts_BT
    added_BHP = x_BHP * dt_BH[..., None]
    state_BNHP.mul_(kept_BH[:, None, :, None])
    state_BNHP.addcmul_(b_BTN[:, 0, :, None, None].float(), added_BHP[:, None])
    with torch.autocast(x_BHP.device.type, enabled=False):
        read_BE = torch.bmm(c_BTN.float(), state_BNHP.flatten(2))
    return torch.addcmul(read_BE.view(x_BTHP.shape), x_BHP[:, None], skip_H[:, None])


def _documents(segments_BT: Tensor, dt_GQH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`seen_GQQ`, `carried_GQ` and `begins_GQ` of `Chunks`."""
    segments_BCQ = torch.unflatten(segments_BT, 1, (-1, dt_GQH.shape[1]))
    before_BC = functional.pad(segments_BCQ[:, :-1, -1], (1, 0))  # 0 before the first
    # A document that goes on begins the chunk: no other one is in its sums.
    carried_BCQ = segments_BCQ == before_BC[..., None]
    segments_GQ = segments_BCQ.flatten(0, 1)
    seen_GQQ = (segments_GQ[:, :, None] == segments_GQ[:, None, :]).tril_()
    seen_GQQ &= dt_GQH.any(-1)[:, None]
    changes_GQ = segments_GQ.diff(dim=1, prepend=segments_GQ[:, :1]) != 0
    places_Q = torch.arange(changes_GQ.shape[1], device=dt_GQH.device)
    begins_GQ = (places_Q * changes_GQ).cummax(1).values
    return seen_GQQ.float(), carried_BCQ.flatten(0, 1).float(), begins_GQ


def _dtype(x: Tensor) -> torch.dtype:
    """Of the products' factors: what autocast asks for, or a short format that the inputs have."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype if x.dtype in (torch.bfloat16, torch.float16) else torch.float32
