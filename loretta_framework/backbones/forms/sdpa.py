"""Attention by torch's fused kernel.

B rows, T new tokens, S keys, H query heads, G key/value heads, R = H / G,
K width of a head.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def sdpa_attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(K)) v: (B, H, T, K).

    `mask` is bool, broadcastable to (B, 1, T, S), True where a query may look. None: causal, T = S,
    or T = 1 and it sees all.
    """
    groups, queries = k_BGSK.shape[1], q_BHTK.shape[2]
    if queries == 1:
        # One query of each head: those that share a key become its queries, and no key is copied.
        q_BGRK = q_BHTK.reshape(len(q_BHTK), groups, -1, q_BHTK.shape[3])
        y_BGRK = functional.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSK, attn_mask=mask)
        return y_BGRK.flatten(1, 2).unsqueeze(2)
    # A comparison of sizes in here would be a symbol to a compiler, which splits the block at it.
    return functional.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSK,
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=q_BHTK.shape[1] != groups,
    )
