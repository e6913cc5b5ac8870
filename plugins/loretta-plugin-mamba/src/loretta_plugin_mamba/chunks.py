"""The matrix products of `ssd.ssd` with a gradient written by hand.

Autograd would pass over the (H, G, Q, Q) weights some thirty times and allocate most of them anew;
this passes over them half as often, mostly in place, and keeps every tensor in the order in
which the model has it, so that nothing is transposed by copying.

G chunks of all rows (G = B C), B rows, C chunks of a row, Q tokens of a chunk, H heads, P width of a
head, N state, E = H P.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

SLOWEST, GRAIN = -128.0, 2.0**-32
"""Of A dt: exp(-128) is 0 in float32, and a sum of 8192 such multiples is exact in float64."""

LEAST, MOST = -87.0, 88.0
"""Exponents are kept between these: exp of what float32 cannot hold takes five times as long."""


class Chunks(NamedTuple):
    """What a chunk's products are made of.

    Attributes:
        x_GQHP: inputs; heads lie side by side, rows may be strided.
        dt_GQH: float32 step sizes, at least 0.
        rate_GQH: float32 A dt, at most 0.
        b_GQN: how an input enters the state.
        c_GQN: how the state is read.
        skip_H: float32 weight of an input in its own output.
        state_BNHP: float32 state before the first token.
        seen_GQQ: float32, 1 where query i may look at key j, 0 elsewhere.
        carried_GQ: float32, 1 where a token belongs to the document that the chunk before ended in.
        begins_GQ: int64, where in the chunk a token's document starts; 0 too for one that goes on.
    """

    x_GQHP: Tensor
    dt_GQH: Tensor
    rate_GQH: Tensor
    b_GQN: Tensor
    c_GQN: Tensor
    skip_H: Tensor
    state_BNHP: Tensor
    seen_GQQ: Tensor
    carried_GQ: Tensor
    begins_GQ: Tensor


def scan_chunks(chunks: Chunks, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Outputs float32 (G, Q, H, P) and the state after the last chunk, float32 (B, N, H, P).

    Args:
        chunks: what they are made of.
        dtype: of the products' factors; all else is float32.
    """
    y_GQHP, last_BNHP = _Scan.apply(*chunks, dtype)  # type: ignore[no-untyped-call]
    return y_GQHP, last_BNHP


class _Scan(torch.autograd.Function):
    """y = (L o c b^T) x + reach o (c h), chunk by chunk; see `ssd`."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        chunks, dtype = Chunks(*given[:-1]), given[-1]
        x, device = chunks.x_GQHP, chunks.x_GQHP.device.type
        with torch.autocast(device, enabled=False):
            weight_HGQQ, reach_HGQ = _weights(chunks)
            match_GQQ = _product(chunks.c_GQN, chunks.b_GQN.transpose(1, 2), dtype)
            mixed_HGQQ = _mixed(weight_HGQQ, match_GQQ, chunks.skip_H)
            left_GQH1 = _natural(weight_HGQQ[:, :, -1])
            reach_GQH1 = _natural(reach_HGQ)
            added = _product(chunks.b_GQN.transpose(1, 2), (x * left_GQH1).flatten(2), dtype)
            before, last_BNHP = _hand_on(added, reach_HGQ[..., -1], chunks.state_BNHP)
            outer = _product(chunks.c_GQN, before, dtype).view(x.shape)
            inner = _product(mixed_HGQQ.flatten(0, 1), _by_head(x, dtype), dtype)
            y_GQHP = _plus(inner, outer, reach_GQH1)
        ctx.dtype, ctx.rows = dtype, len(chunks.state_BNHP)
        ctx.save_for_backward(
            x, chunks.dt_GQH, chunks.b_GQN, chunks.c_GQN, chunks.skip_H,
            weight_HGQQ, match_GQQ, left_GQH1, reach_GQH1, before, outer,
            chunks.seen_GQQ,
        )  # fmt: skip
        return y_GQHP, last_BNHP

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return _gradients(ctx, *gradients)


def _gradients(ctx: Any, dy_GQHP: Tensor, dlast_BNHP: Tensor) -> tuple[Tensor | None, ...]:
    """Of every field of `Chunks`, and None for the dtype."""
    x, dt_GQH, b, c, skip_H, weight_HGQQ, match_GQQ, *more = ctx.saved_tensors
    left, reach, before, outer, seen_GQQ = more
    dtype, dy = ctx.dtype, dy_GQHP.contiguous()
    within = _within(dy, x, weight_HGQQ, match_GQQ, skip_H, dtype)
    # Through the states.
    reached = dy * reach
    dbefore = _product(c.transpose(1, 2), reached.flatten(2), dtype)
    kept_BCH = torch.unflatten(reach[:, -1, :, 0], 0, (ctx.rows, -1))
    dadded, dstate_BNHP = _hand_back(dbefore, kept_BCH, dlast_BNHP)
    spread = _product(b, dadded, dtype).view(x.shape)
    dx = _plus(within.dx_by_head, spread, left)
    db = _product(within.dmatch_GQQ.transpose(1, 2), c, dtype)
    db += _product((x * left).flatten(2), dadded.transpose(1, 2), dtype)
    dc = _product(within.dmatch_GQQ, b, dtype)
    dc += _product(reached.flatten(2), before.transpose(1, 2), dtype)
    entered_GQH = spread.mul_(x).sum(-1) * left[..., 0]
    kept_GNHP = torch.unflatten(dadded * before, 2, x.shape[2:])
    kept_GH = kept_GNHP.sum(1).sum(-1) * reach[:, -1, :, 0]
    step_GQH = within.to_GQH - within.from_GQH + entered_GQH
    drate_GQH = _spread(seen_GQQ, step_GQH, reached.mul_(outer).sum(-1), kept_GH)
    ddt_GQH = (within.to_GQH + within.own_GQH + entered_GQH) / dt_GQH
    ddt_GQH.masked_fill_(dt_GQH == 0, 0)
    return (
        dx.to(x.dtype), ddt_GQH, drate_GQH, db.to(b.dtype), dc.to(c.dtype), within.dskip_H, dstate_BNHP,
        None, None, None, None,
    )  # fmt: skip


class _Within(NamedTuple):
    """Gradients through the products of a chunk, and what they say of each exponent.

    `to` and `from` are sums over the weights of other tokens that a token is the key or the query
    of, `own` is the weight of a token in its own output.
    """

    dx_by_head: Tensor
    dmatch_GQQ: Tensor
    dskip_H: Tensor
    to_GQH: Tensor
    from_GQH: Tensor
    own_GQH: Tensor


def _within(
    dy: Tensor,
    x: Tensor,
    weight_HGQQ: Tensor,
    match_GQQ: Tensor,
    skip_H: Tensor,
    dtype: torch.dtype,
) -> _Within:
    dy_by_head = _by_head(dy, dtype)
    slope_HGQQ = _product(dy_by_head, _by_head(x, dtype).transpose(1, 2), dtype)
    slope_HGQQ = slope_HGQQ.view_as(weight_HGQQ)
    dskip_H = slope_HGQQ.diagonal(dim1=-2, dim2=-1).sum((1, 2))
    slope_HGQQ *= weight_HGQQ
    dmatch_GQQ = slope_HGQQ.sum(0)
    slope_HGQQ *= match_GQQ
    own_GQH = slope_HGQQ.diagonal(dim1=-2, dim2=-1).permute(1, 2, 0).clone()
    # An exponent of a token's own weight is 0: left in, it would hide the others in its rounding.
    slope_HGQQ.diagonal(dim1=-2, dim2=-1).zero_()
    to_GQH, from_GQH = (slope_HGQQ.sum(axis).permute(1, 2, 0) for axis in (-2, -1))
    mixed_HGQQ = torch.mul(weight_HGQQ, match_GQQ, out=slope_HGQQ)
    mixed_HGQQ.diagonal(dim1=-2, dim2=-1).add_(skip_H[:, None, None])
    dx_by_head = _product(mixed_HGQQ.flatten(0, 1).transpose(1, 2), dy_by_head, dtype)
    return _Within(dx_by_head, dmatch_GQQ, dskip_H, to_GQH, from_GQH, own_GQH)


def _spread(seen_GQQ: Tensor, step_GQH: Tensor, read_GQH: Tensor, kept_GH: Tensor) -> Tensor:
    """Gradients of A dt: an exponent is the sum of those between two places, so each has its share.

    Products with 0 and 1, not running sums: those would carry one document's rounding to the next.
    """
    seen_GQQ, step_GQH = seen_GQQ.double(), step_GQH.double()
    drate_GQH = torch.bmm(seen_GQQ, step_GQH) - step_GQH + kept_GH[:, None]
    drate_GQH += torch.bmm(seen_GQQ.transpose(1, 2), read_GQH.double())
    return drate_GQH.float()


def _weights(chunks: Chunks) -> tuple[Tensor, Tensor]:
    """L_ij dt_j, float32 (H, G, Q, Q), and how much of the state before the chunk a token sees.

    An exponent is the difference of two sums from the document's first token in the chunk, which may
    be thousands: in float32 it would have lost the digits that these have grown by. So they are
    summed in float64, as multiples of `GRAIN`, which makes every sum exact: what other documents
    hold cannot change a bit. Then they are split in two float32 numbers, whose larger parts are
    subtracted first.
    """
    rate_HGQ = chunks.rate_GQH.permute(2, 0, 1).double().clamp(min=SLOWEST)
    sum_HGQ = (rate_HGQ / GRAIN).round_().mul_(GRAIN).cumsum(-1)
    begins_HGQ = chunks.begins_GQ.expand_as(sum_HGQ)
    sum_HGQ -= sum_HGQ.gather(-1, begins_HGQ) * (begins_HGQ > 0)
    entry_HGQ = sum_HGQ - chunks.dt_GQH.permute(2, 0, 1).double().log()
    sums, entries = sum_HGQ.float(), entry_HGQ.float()
    weight_HGQQ = sums[..., :, None] - entries[..., None, :]
    weight_HGQQ += (sum_HGQ - sums).float()[..., :, None]
    rest_HGQ = (entry_HGQ - entries).float().nan_to_num_(0.0)  # inf - inf where dt is 0
    weight_HGQQ -= rest_HGQ[..., None, :]
    weight_HGQQ.clamp_(LEAST, MOST).exp_().mul_(chunks.seen_GQQ)
    return weight_HGQQ, sums.exp_() * chunks.carried_GQ


def _mixed(weight_HGQQ: Tensor, match_GQQ: Tensor, skip_H: Tensor) -> Tensor:
    """What the inputs of a chunk are multiplied by, (H, G, Q, Q)."""
    mixed_HGQQ = weight_HGQQ * match_GQQ
    mixed_HGQQ.diagonal(dim1=-2, dim2=-1).add_(skip_H[:, None, None])
    return mixed_HGQQ


def _plus(inner: Tensor, outer_GQHP: Tensor, reach_GQH1: Tensor) -> Tensor:
    """inner (H G, Q, P) + outer x reach, (G, Q, H, P)."""
    groups, tokens, heads, width = outer_GQHP.shape
    inner_GQHP = inner.view(heads, groups, tokens, width).permute(1, 2, 0, 3)
    # Left to torch, the result would lie as the first term does.
    return torch.addcmul(inner_GQHP, outer_GQHP, reach_GQH1, out=torch.empty_like(outer_GQHP))


def _natural(part_HGQ: Tensor) -> Tensor:
    """(H, G, Q) in the order of the inputs: (G, Q, H, 1)."""
    return part_HGQ.permute(1, 2, 0).contiguous()[..., None]


def _hand_on(added_GNE: Tensor, kept_HG: Tensor, state_BNHP: Tensor) -> tuple[Tensor, Tensor]:
    """The state before each chunk (G, N, E), and after the last (B, N, H, P)."""
    shape = state_BNHP.shape
    added = added_GNE.view(shape[0], -1, *shape[1:])
    kept = kept_HG.t().view(shape[0], -1, 1, shape[2], 1)
    before, last = torch.empty_like(added), added.shape[1] - 1
    before[:, 0] = state_BNHP
    for chunk in range(last):
        torch.addcmul(added[:, chunk], kept[:, chunk], before[:, chunk], out=before[:, chunk + 1])
    after = torch.addcmul(added[:, last], kept[:, last], before[:, last])
    return before.view(added_GNE.shape), after


def _hand_back(dbefore_GNE: Tensor, kept_BCH: Tensor, dlast_BNHP: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of what each chunk added to the state (G, N, E), and of the first state."""
    shape = dlast_BNHP.shape
    dbefore = dbefore_GNE.view(shape[0], -1, *shape[1:])
    kept = kept_BCH[:, :, None, :, None]
    dadded = torch.empty_like(dbefore)
    dadded[:, -1] = dlast_BNHP
    for chunk in range(dbefore.shape[1] - 1, 0, -1):
        torch.addcmul(dbefore[:, chunk], kept[:, chunk], dadded[:, chunk], out=dadded[:, chunk - 1])
    dstate = torch.addcmul(dbefore[:, 0], kept[:, 0], dadded[:, 0])
    return dadded.view(dbefore_GNE.shape), dstate


def _product(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """left @ right, float32."""
    return torch.bmm(left.to(dtype), right.to(dtype)).float()


def _by_head(part_GQHP: Tensor, dtype: torch.dtype) -> Tensor:
    """(H G, Q, P): products of strided rows would take half as long again as this copy and theirs."""
    return part_GQHP.to(dtype).permute(2, 0, 1, 3).contiguous().flatten(0, 1)
