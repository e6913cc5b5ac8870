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
    tokens, size = x_BTHP.shape[1], min(chunk, x_BTHP.shape[1])
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
    same_BCQQ = segments_BCQ[..., :, None] == segments_BCQ[..., None, :]
    seen_BCQQ = same_BCQQ & torch.ones(size, size, dtype=torch.bool, device=a_H.device).tril()
    decay_BCHQ = _log_decay(seen_BCQQ, dt_BCQH * a_H)
    inner_BCHQP = _within(x_BCHQP, decay_BCHQ, b_BCQN, c_BCQN, seen_BCQQ)
    added_BCHPN = _left_behind(x_BCHQP, decay_BCHQ, b_BCQN, same_BCQQ[..., -1, :])
    carried_BCQ = segments_BCQ == _before(segments_BCQ)[..., None]
    before_BCHPN, state_BHPN = _hand_on(added_BCHPN, decay_BCHQ, carried_BCQ[..., -1], state_BHPN)
    reach_BCHQ = decay_BCHQ.exp() * carried_BCQ[:, :, None]
    outer_BCHQP = (c_BCQN.float()[:, :, None] @ before_BCHPN.transpose(-1, -2)).float()
    y_BCHQP = inner_BCHQP + outer_BCHQP * reach_BCHQ[..., None]
    return y_BCHQP.transpose(2, 3).flatten(1, 2)[:, :tokens], state_BHPN


def _log_decay(seen_BCQQ: Tensor, a_BCQH: Tensor) -> Tensor:
    """(B, C, H, Q): sum of A dt from the first token of the document in this chunk to each token.

    Each token sums its own document's terms only. A cumulative sum over the whole chunk would round
    by what other documents hold, and its differences lose digits as it grows.
    """
    with torch.autocast(a_BCQH.device.type, enabled=False):
        return (seen_BCQQ.float() @ a_BCQH).transpose(-1, -2)


def _within(
    x_BCHQP: Tensor, decay_BCHQ: Tensor, b_BCQN: Tensor, c_BCQN: Tensor, seen_BCQQ: Tensor
) -> Tensor:
    """What tokens of the chunk itself give: (B, C, H, Q, P)."""
    away_BCHQQ = decay_BCHQ[..., :, None] - decay_BCHQ[..., None, :]
    # Filled before exp: what is not seen may be a large positive number, and inf x 0 is NaN.
    weight_BCHQQ = away_BCHQQ.masked_fill(~seen_BCQQ[:, :, None], float("-inf")).exp()
    match_BCQQ = c_BCQN.float() @ b_BCQN.float().transpose(-1, -2)
    return ((match_BCQQ[:, :, None] * weight_BCHQQ) @ x_BCHQP).float()


def _left_behind(x_BCHQP: Tensor, decay_BCHQ: Tensor, b_BCQN: Tensor, same_BCQ: Tensor) -> Tensor:
    """What the tokens of each chunk add to the state at its end: (B, C, H, P, N)."""
    away_BCHQ = decay_BCHQ[..., -1:] - decay_BCHQ
    weight_BCHQ = away_BCHQ.masked_fill(~same_BCQ[:, :, None], float("-inf")).exp()
    scaled_BCHQP = x_BCHQP * weight_BCHQ[..., None]
    return (scaled_BCHQP.transpose(-1, -2) @ b_BCQN.float()[:, :, None]).float()


def _before(segments_BCQ: Tensor) -> Tensor:
    """(B, C): the segment of the token before each chunk; 0 before the first."""
    return functional.pad(segments_BCQ[:, :-1, -1], (1, 0))


def _hand_on(
    added_BCHPN: Tensor, decay_BCHQ: Tensor, carried_BC: Tensor, state_BHPN: Tensor
) -> tuple[Tensor, Tensor]:
    """The state before each chunk (B, C, H, P, N), and after the last (B, H, P, N)."""
    kept_BCH11 = (decay_BCHQ[..., -1].exp() * carried_BC[..., None])[..., None, None]
    before = []
    for chunk in range(added_BCHPN.shape[1]):
        before.append(state_BHPN)
        state_BHPN = kept_BCH11[:, chunk] * state_BHPN + added_BCHPN[:, chunk]
    return torch.stack(before, dim=1), state_BHPN
