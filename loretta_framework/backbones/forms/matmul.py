"""Attention by plain products, a block of queries at a time; keys behind a block are skipped.

B rows, T queries, S keys, H query heads, G key/value heads, R = H / G queries that share a key,
K width of a head, P = B G products, N = R x queries of a block, J keys of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 64
"""Fewest queries of a block; more where a row has more than four such blocks."""


def matmul_attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None) -> Tensor:
    """As `sdpa.sdpa_attend`."""
    if torch.compiler.is_compiling():
        return _formula(q_BHTK, k_BGSK, v_BGSK, mask)
    attended: Tensor = _Attend.apply(q_BHTK, k_BGSK, v_BGSK, mask)  # type: ignore[no-untyped-call]
    return attended


def _formula(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None) -> Tensor:
    """All at once, for a compiler."""
    repeat = q_BHTK.shape[1] // k_BGSK.shape[1]
    k_BHSK, v_BHSK = (x.repeat_interleave(repeat, dim=1) for x in (k_BGSK, v_BGSK))
    scores = q_BHTK @ k_BHSK.mT * q_BHTK.shape[-1] ** -0.5
    if mask is None:
        mask = _lower(scores.shape[-2], scores.shape[-1], scores.device)
    return torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1) @ v_BHSK


def _lower(queries: int, keys: int, device: torch.device) -> Tensor:
    """Bool (T, S): the queries are the last of the keys."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def _blocks(tokens: int, keys: int) -> Iterator[tuple[int, int, int]]:
    """First and last + 1 query of each block, and how many keys it can see."""
    size = max(_BLOCK, -(-tokens // 4)) if tokens == keys else tokens
    for first in range(0, tokens, size):
        stop = min(first + size, tokens)
        yield first, stop, keys - tokens + stop


def _fold(x_BHTK: Tensor, groups: int) -> Tensor:
    """Queries (P, R, T, K): those that share a key side by side."""
    batch, heads, tokens, width = x_BHTK.shape
    return x_BHTK.reshape(batch * groups, heads // groups, tokens, width)


def _weights(q_PNK: Tensor, k_PJK: Tensor, hidden: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """softmax(q k^T / sqrt(K)) without the hidden keys: (P, N, J)."""
    scale = q_PNK.shape[-1] ** -0.5
    scores_PNJ = torch.baddbmm(q_PNK.new_empty(1, 1, 1), q_PNK, k_PJK.mT, beta=0, alpha=scale)
    if hidden is not None:
        scores_PNJ.view(shape).masked_fill_(hidden, float("-inf"))
    return torch.softmax(scores_PNJ, dim=-1, out=scores_PNJ)


class _Attend(torch.autograd.Function):
    """The formula with the gradient by hand: it keeps the weights alone and reuses their memory."""

    @staticmethod
    def forward(
        ctx: Any, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None
    ) -> Tensor:
        batch, heads, tokens, width = q_BHTK.shape
        groups, keys = k_BGSK.shape[1:3]
        q_PRTK = _fold(q_BHTK, groups)
        k_PSK, v_PSK = (x.reshape(-1, keys, width) for x in (k_BGSK, v_BGSK))
        y_PRTK = q_PRTK.new_empty(q_PRTK.shape)
        kept = []
        for first, stop, seen in _blocks(tokens, keys):
            size = stop - first
            hidden = None
            if mask is not None:
                hidden = ~mask[:, :, None, first:stop, :seen]
            elif size > 1:
                hidden = ~_lower(size, seen, q_BHTK.device)
            shape = (batch, groups, heads // groups, size, seen)
            q_PNK = q_PRTK[:, :, first:stop].reshape(len(k_PSK), -1, width)
            weights_PNJ = _weights(q_PNK, k_PSK[:, :seen], hidden, shape)
            y_PNK = torch.bmm(weights_PNJ, v_PSK[:, :seen])
            y_PRTK[:, :, first:stop] = y_PNK.view(len(k_PSK), -1, size, width)
            kept.append(weights_PNJ)
        ctx.groups = groups
        ctx.save_for_backward(q_PRTK, k_PSK, v_PSK, *kept)
        return y_PRTK.view(batch, heads, tokens, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BHTK: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_PRTK, k_PSK, v_PSK, *kept = ctx.saved_tensors
        grad_PRTK = _fold(grad_BHTK, ctx.groups)
        scale = q_PRTK.shape[-1] ** -0.5
        dq_PRTK, dk_PSK, dv_PSK = (torch.zeros_like(x) for x in (q_PRTK, k_PSK, v_PSK))
        products, _, tokens, width = q_PRTK.shape
        blocks = _blocks(tokens, k_PSK.shape[1])
        for (first, stop, seen), weights_PNJ in zip(blocks, kept, strict=True):
            q_PNK, grad_PNK = (
                x[:, :, first:stop].reshape(products, -1, width) for x in (q_PRTK, grad_PRTK)
            )
            dv_PSK[:, :seen].baddbmm_(weights_PNJ.mT, grad_PNK)
            dw_PNJ = torch.bmm(grad_PNK, v_PSK[:, :seen].mT)
            ds_PNJ = torch.ops.aten._softmax_backward_data(
                dw_PNJ, weights_PNJ, -1, weights_PNJ.dtype
            )
            dq_PNK = torch.bmm(ds_PNJ, k_PSK[:, :seen])
            dq_PRTK[:, :, first:stop] = dq_PNK.view(products, -1, stop - first, width)
            dk_PSK[:, :seen].baddbmm_(ds_PNJ.mT, q_PNK, alpha=scale)
        shared = (grad_BHTK.shape[0], ctx.groups, *k_PSK.shape[1:])
        return (
            dq_PRTK.mul_(scale).view(grad_BHTK.shape), dk_PSK.view(shared), dv_PSK.view(shared), None
        )  # fmt: skip
