"""Rotary position embedding (Su et al., 2021).

B rows, T tokens, K width of a head, H query heads, G key/value heads. Queries, keys and values of a
token stand side by side: H + 2 G heads, of which the first H + G are turned.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Rotary = tuple[Tensor, Tensor]
"""Cosine, float32 (B, T, 1, K), the same for both of a pair, and sine, float32 (B, T, 1, K/2)."""

Heads = tuple[Tensor, Tensor, Tensor]
"""Queries (B, T, H, K), keys and values (B, T, G, K)."""


def rotary_angles(positions_BT: Tensor, head_width: int, base: float) -> Rotary:
    """Cosine and sine of position x base^(-2i/K)."""
    index_K = torch.arange(0, head_width, 2, device=positions_BT.device, dtype=torch.float32)
    frequency_K = base ** (-index_K / head_width)
    angle_BT1K = (positions_BT[..., None].float() * frequency_K)[:, :, None]
    cos_BT1K = angle_BT1K.cos()
    return torch.cat((cos_BT1K, cos_BT1K), dim=-1), angle_BT1K.sin()


def rotate(qkv_BTHK: Tensor, keys: int, rotary: Rotary) -> Heads:
    """Split what was projected into queries, keys and values, and turn queries and keys.

    Each pair (x_i, x_{i+K/2}) is turned by its angle. The dtype is kept.

    Args:
        qkv_BTHK: (B, T, H + 2 G, K).
        keys: G.
        rotary: of the positions.
    """
    # A compiler fuses the formula and its gradient. Without one they take eight passes over short
    # rows and three concatenations: on a CPU that is as long as the whole attention.
    if torch.compiler.is_compiling():
        turned_BTHK = _turned(qkv_BTHK[:, :, :-keys], *rotary)
        return turned_BTHK[:, :, :-keys], turned_BTHK[:, :, -keys:], qkv_BTHK[:, :, -keys:]
    if not torch.is_grad_enabled():
        return _split(qkv_BTHK, keys, rotary)
    heads: Heads = _Split.apply(qkv_BTHK, keys, *rotary)  # type: ignore[no-untyped-call]
    return heads


def _turned(x_BTHK: Tensor, cos_BT1K: Tensor, sin_BT1K: Tensor) -> Tensor:
    left, right = x_BTHK.float().chunk(2, dim=-1)
    turned_BTHK = torch.cat((-right * sin_BT1K, left * sin_BT1K), dim=-1) + x_BTHK * cos_BT1K
    return turned_BTHK.to(x_BTHK.dtype)


def _turn(x_BTHK: Tensor, rotary: Rotary, sign: int, out: Tensor | None = None) -> Tensor:
    """`_turned` in three passes, by the angle times +1 or -1; float32, as the cosines."""
    cos_BT1K, sin_BT1K = rotary
    turned_BTHK = torch.mul(x_BTHK, cos_BT1K, out=out)
    (left, right), (to_left, to_right) = x_BTHK.chunk(2, dim=-1), turned_BTHK.chunk(2, dim=-1)
    to_left.addcmul_(right, sin_BT1K, value=-sign)
    to_right.addcmul_(left, sin_BT1K, value=sign)
    return turned_BTHK


def _split(qkv_BTHK: Tensor, keys: int, rotary: Rotary) -> Heads:
    turned_BTHK = _turn(qkv_BTHK[:, :, :-keys], rotary, 1).to(qkv_BTHK.dtype)
    return turned_BTHK[:, :, :-keys], turned_BTHK[:, :, -keys:], qkv_BTHK[:, :, -keys:]


class _Split(torch.autograd.Function):
    """`rotate`; its gradient is a turn by the opposite angle, written where it belongs."""

    @staticmethod
    def forward(ctx: Any, qkv_BTHK: Tensor, keys: int, cos_BT1K: Tensor, sin_BT1K: Tensor) -> Heads:
        ctx.save_for_backward(cos_BT1K, sin_BT1K)
        return _split(qkv_BTHK, keys, (cos_BT1K, sin_BT1K))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dq_BTHK: Tensor, dk_BTGK: Tensor, dv_BTGK: Tensor
    ) -> tuple[Tensor, None, None, None]:
        rotary: Rotary = ctx.saved_tensors  # once: under checkpointing they can be read only once
        batch, tokens, heads, width = dq_BTHK.shape
        keys = dk_BTGK.shape[2]
        grad_BTHK = dq_BTHK.new_empty(batch, tokens, heads + 2 * keys, width)
        grad_q_BTHK = grad_BTHK[:, :, :heads]
        grad_k_BTGK = grad_BTHK[:, :, heads:-keys]
        for grad, place in ((dq_BTHK, grad_q_BTHK), (dk_BTGK, grad_k_BTGK)):
            if grad.dtype == torch.float32:
                _turn(grad, rotary, -1, out=place)
            else:
                place.copy_(_turn(grad, rotary, -1))
        grad_BTHK[:, :, -keys:] = dv_BTGK
        return grad_BTHK, None, None, None
