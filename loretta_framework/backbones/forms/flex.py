"""Attention by torch's FlexAttention: blocks that no query may look at are skipped.

Trains on a CUDA device. B rows, T tokens, H query heads, G key/value heads, K width of a head.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.backbones.forms.fit import require_fit


def block_mask(layout: SequenceLayout, window: int | None) -> Any:
    """torch's `BlockMask` of the documents: made once for all blocks of a model."""
    from torch.nn.attention.flex_attention import create_block_mask

    documents_BT = layout.documents_BT
    batch, tokens = documents_BT.shape

    def may_look(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (documents_BT[row, query] == documents_BT[row, key]) & (key <= query)
        return seen if window is None else seen & (query - key < window)

    return create_block_mask(may_look, batch, None, tokens, tokens, device=documents_BT.device)


def flex_attend(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, blocks: Any) -> Tensor:
    """Attention where the block mask allows it: (B, H, T, K).

    Raises:
        UserError: the queries are not on a CUDA device.
    """
    require_fit("FlexAttention", q_BHTK, half=False)
    y: Tensor = fused()(
        q_BHTK, k_BGTK, v_BGTK, block_mask=blocks, enable_gqa=q_BHTK.shape[1] != k_BGTK.shape[1]
    )
    return y


@cache
def fused() -> Any:
    """The compiled kernel; as plain operations it would hold all scores, and slowly."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
