"""State space duality: the recurrence of Mamba-2 as matrix products (arXiv 2405.21060, section 6).

In each head, with A < 0 and step sizes dt >= 0:

    h_t = exp(A dt_t) h_{t-1} + dt_t x_t b_t^T          (P, N), 0 before a document's first token
    y_t = h_t c_t

Within a chunk of Q tokens, y = (L o C B^T) (dt x) with L_ij = exp(sum of A dt over j < k <= i) in
the same document, 0 elsewhere; from chunk to chunk only h is handed on. A step size of 0 hands h on
as it is: that is what padding has.

B rows, T tokens, C chunks, Q tokens of a chunk, H heads, P width of a head, N state.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ssd(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    segments_BT: Tensor,
    state_BHPN: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Outputs float32 (B, T, H, P) and the state after the last token, float32 (B, H, P, N).

    Args:
        x_BTHP: inputs.
        dt_BTH: float32 step sizes, 0 at padding.
        a_H: float32, below 0.
        b_BTN: how an input enters the state, shared by all heads.
        c_BTN: how the state is read.
        segments_BT: int64, non-decreasing along T; tokens of one segment see each other. The state
            given belongs to segment 0.
        state_BHPN: float32 state before the first token.
        chunk: tokens of a product.
    """
    tokens = x_BTHP.shape[1]
    if not tokens:
        return x_BTHP.float(), state_BHPN
    size = min(chunk, tokens)
    room = -tokens % size
    if room:
        last_B1 = segments_BT[:, -1:].expand(-1, room)
        segments_BT = torch.cat([segments_BT, last_B1], dim=1)
        x_BTHP, b_BTN, c_BTN, dt_BTH = (
            functional.pad(part, (0, 0) * (part.ndim - 2) + (0, room))
            for part in (x_BTHP, b_BTN, c_BTN, dt_BTH)
        )
    x_BCQHP, dt_BCQH, b_BCQN, c_BCQN, segments_BCQ = (
        torch.unflatten(part, 1, (-1, size)) for part in (x_BTHP, dt_BTH, b_BTN, c_BTN, segments_BT)
    )
    x_BCHQP = (x_BCQHP.float() * dt_BCQH[..., None]).transpose(2, 3)
    a_BCHQ = (dt_BCQH * a_H).transpose(-1, -2)
    upto_QQ = torch.ones(size, size, dtype=torch.bool, device=a_H.device).triu()  # j <= i
    same_BCQQ = segments_BCQ[..., :, None] == segments_BCQ[..., None, :]
    weight_BCHQQ = _weights(a_BCHQ, upto_QQ, same_BCQQ)
    match_BCQQ = b_BCQN.float() @ c_BCQN.float().transpose(-1, -2)
    inner_BCHQP = ((match_BCQQ[:, :, None] * weight_BCHQQ).transpose(-1, -2) @ x_BCHQP).float()
    left_BCHQP = x_BCHQP * weight_BCHQQ[..., -1:]
    added_BCHPN = (left_BCHQP.transpose(-1, -2) @ b_BCQN.float()[:, :, None]).float()
    # A document that goes on begins the chunk: no other one is in its sums.
    carried_BCQ = segments_BCQ == _before(segments_BCQ)[..., None]
    reach_BCHQ = a_BCHQ.cumsum(-1).exp() * carried_BCQ[:, :, None]
    before_BCHPN, state_BHPN = _hand_on(added_BCHPN, reach_BCHQ[..., -1], state_BHPN)
    outer_BCHQP = (c_BCQN.float()[:, :, None] @ before_BCHPN.transpose(-1, -2)).float()
    y_BCHQP = inner_BCHQP + outer_BCHQP * reach_BCHQ[..., None]
    return y_BCHQP.transpose(2, 3).flatten(1, 2)[:, :tokens], state_BHPN


def _weights(a_BCHQ: Tensor, upto_QQ: Tensor, same_BCQQ: Tensor) -> Tensor:
    """(B, C, H, Q, Q): L_ij at [j, i].

    Each exponent is summed by itself, over its own terms: the difference of two sums from the
    chunk's beginning would lose the digits that these have grown by.
    """
    later_QQ = upto_QQ.triu(1)
    sums_BCHQQ = (a_BCHQ[..., None, :] * later_QQ).cumsum(-1)
    seen_BCQQ = same_BCQQ & upto_QQ
    return sums_BCHQQ.masked_fill(~seen_BCQQ[:, :, None], float("-inf")).exp()


def _before(segments_BCQ: Tensor) -> Tensor:
    """(B, C): the segment of the token before each chunk; 0 before the first."""
    return functional.pad(segments_BCQ[:, :-1, -1], (1, 0))


def _hand_on(added_BCHPN: Tensor, kept_BCH: Tensor, state_BHPN: Tensor) -> tuple[Tensor, Tensor]:
    """The state before each chunk (B, C, H, P, N), and after the last (B, H, P, N)."""
    kept_BCH11 = kept_BCH[..., None, None]
    before = []
    for chunk in range(added_BCHPN.shape[1]):
        before.append(state_BHPN)
        state_BHPN = kept_BCH11[:, chunk] * state_BHPN + added_BCHPN[:, chunk]
    return torch.stack(before, dim=1), state_BHPN
