"""Attention of packed documents on a CPU: each document on a line of its own, computed by its length.

Over a packed row the fused kernel needs a mask, and computes what the mask hides: of rows of 1024
tokens that hold documents of 180, nine tenths. Here the tokens are moved to lines, a document each, of
a few lengths; behind a document's end a line holds nothing that its tokens could see, so a causal
kernel is all that is needed.

B rows, T tokens a row, M = B x T, N documents, P places of all lines, n lines of L places, H query
heads, G key/value heads, K width of a head, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.masks import causal_mask

_SHORTEST = 16
"""Places of the shortest line."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the tokens of a batch go.

    Attributes:
        shapes: (n, L) of each group of lines, one behind the other in P.
        there_P: int64, the token (of M) at each place; behind a document's end its first token.
        back_M: int64, the place of each token; 0 at padding.
        empty_P: bool, places behind the end of a document.
        padding_M: bool, tokens that are padding.
        masks: for each group what its window hides, None where nothing.
    """

    shapes: tuple[tuple[int, int], ...]
    there_P: Tensor
    back_M: Tensor
    empty_P: Tensor
    padding_M: Tensor
    masks: tuple[Tensor | None, ...]


def line_length(tokens: int) -> int:
    """The places of a document's line: four lengths an octave, so that a quarter is empty at most."""
    if tokens <= _SHORTEST:
        return _SHORTEST
    step = 1 << max(2, (tokens - 1).bit_length() - 3)
    return -(-tokens // step) * step


def lines(layout: SequenceLayout, window: int | None) -> Lines:
    """The lines of a batch; all its tensors lie on the CPU."""
    documents_M = layout.documents_BT.numpy().ravel()
    real_M = documents_M != PADDING
    firsts_N = np.flatnonzero(real_M & (layout.positions_BT.numpy().ravel() == 0))
    known, counts = np.unique(documents_M[real_M], return_counts=True)
    lengths_N = counts[np.searchsorted(known, documents_M[firsts_N])]
    places_N = np.array([line_length(int(n)) for n in lengths_N], np.int64)
    shapes, there, empty = [], [], []
    for length in np.unique(places_N):
        here_n = np.flatnonzero(places_N == length)
        place_L = np.arange(length)
        empty_nL = place_L >= lengths_N[here_n, None]
        there.append((firsts_N[here_n, None] + np.where(empty_nL, 0, place_L)).ravel())
        empty.append(empty_nL.ravel())
        shapes.append((len(here_n), int(length)))
    there_P, empty_P = np.concatenate(there), np.concatenate(empty)
    back_M = np.zeros(real_M.size, np.int64)
    back_M[there_P[~empty_P]] = np.flatnonzero(~empty_P)
    cpu = torch.device("cpu")
    return Lines(
        tuple(shapes),
        torch.from_numpy(there_P),
        torch.from_numpy(back_M),
        torch.from_numpy(empty_P),
        torch.from_numpy(~real_M),
        tuple(
            None if window is None or window >= length else causal_mask(length, window, cpu)
            for _, length in shapes
        ),
    )


def lines_attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, where: Lines) -> Tensor:
    """softmax(q k^T / sqrt(K)) v over each document: (B, H, T, K); 0 at padding."""
    y_BHTK: Tensor = _uncompiled(q_BHTK, k_BGSK, v_BGSK, where)
    return y_BHTK


def _attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, where: Lines) -> Tensor:
    batch, heads, tokens, width = q_BHTK.shape
    groups, sizes = k_BGSK.shape[1], [count * length for count, length in where.shapes]
    parts_P = [
        torch.split(_to_lines(x, where).view(-1, x.shape[1], width), sizes)
        for x in (q_BHTK, k_BGSK, v_BGSK)
    ]
    made = []
    for (count, length), mask, *qkv in zip(where.shapes, where.masks, *parts_P, strict=True):
        q, k, v = (x.view(count, length, *x.shape[1:]).transpose(1, 2) for x in qkv)
        y_nHLK = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=heads != groups
        )
        made.append(y_nHLK.transpose(1, 2).reshape(count * length, heads * width))
    y_MW: Tensor = _Moved.apply(  # type: ignore[no-untyped-call]
        torch.cat(made), where.back_M, where.there_P, where.padding_M, where.empty_P
    )
    return y_MW.view(batch, tokens, heads, width).transpose(1, 2)


# A compiler would make new code for each batch's shapes.
_uncompiled = torch.compiler.disable(_attend)  # type: ignore[no-untyped-call]


def _to_lines(x_BHTK: Tensor, where: Lines) -> Tensor:
    x_MW = x_BHTK.transpose(1, 2).flatten(2).flatten(0, 1)
    moved_PW: Tensor = _Moved.apply(  # type: ignore[no-untyped-call]
        x_MW, where.there_P, where.back_M, None, where.padding_M
    )
    return moved_PW


class _Moved(torch.autograd.Function):
    """Rows picked by an index. Each real one is picked once, so the gradient is picked too: torch
    would add rows up, one by one."""

    @staticmethod
    def forward(
        ctx: Any, x_W: Tensor, to: Tensor, back: Tensor, none: Tensor | None, nothing: Tensor
    ) -> Tensor:
        """x[to], 0 where `none`; the gradient of x is grad[back], 0 where `nothing`."""
        ctx.save_for_backward(back, nothing)
        moved_W = x_W.index_select(0, to)
        return moved_W if none is None else moved_W.masked_fill_(none[:, None], 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_W: Tensor) -> tuple[Tensor, None, None, None, None]:
        back, nothing = ctx.saved_tensors
        grad_x_W = grad_W.index_select(0, back).masked_fill_(nothing[:, None], 0)
        return grad_x_W, None, None, None, None
