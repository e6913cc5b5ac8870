"""Attention by torch's own kernel for packed documents. On a CUDA device.

Read: torch 2.13, torch/nn/attention/varlen.py. `varlen_attn(query, key, value, cu_seq_q, cu_seq_k,
max_q, max_k, *, window_size=(-1, -1), enable_gqa=False, ...)` over (tokens, heads, width); a window
of (-1, 0) is causal, and (w, 0) sees the w tokens before.
"""

from __future__ import annotations

from torch import Tensor

from loretta_framework.backbones.forms.documents import in_line, in_rows
from loretta_framework.backbones.forms.fit import require_fit


def varlen_attend(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, borders: Tensor, window: int | None
) -> Tensor:
    """Causal attention within each document: (B, H, T, K).

    Args:
        q_BHTK: bfloat16 or float16, on a CUDA device.
        k_BGTK: likewise; G divides H.
        v_BGTK: likewise.
        borders: int32, of the documents (`documents.borders`).
        window: tokens that a query sees; None: all of its document before it.

    Raises:
        UserError: the queries are elsewhere, in another precision, or of wider heads.
    """
    from torch.nn.attention.varlen import varlen_attn

    require_fit("torch's varlen attention", q_BHTK)
    longest = q_BHTK.shape[2]
    y = varlen_attn(
        in_line(q_BHTK),
        in_line(k_BGTK),
        in_line(v_BGTK),
        borders,
        borders,
        longest,
        longest,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q_BHTK.shape[1] != k_BGTK.shape[1],
    )
    assert isinstance(y, Tensor)
    return in_rows(y, q_BHTK)
