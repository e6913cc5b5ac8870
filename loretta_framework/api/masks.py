"""Attention masks from a layout. Needs torch. B rows, T tokens a row."""

from __future__ import annotations

import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout


def causal_mask(tokens: int, window: int | None, device: torch.device) -> Tensor:
    """Bool (T, T), True where a query may look: at itself and what lies before it.

    Args:
        tokens: T.
        window: how many tokens it sees at most, itself among them; None: all.
        device: where the mask is needed.
    """
    causal_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    return causal_TT if window is None else causal_TT.triu(1 - window)


def document_mask(layout: SequenceLayout, window: int | None = None) -> Tensor:
    """Bool (B, 1, T, T), True where a query may look: the same document, not later.

    Padding looks at itself only: a row of the mask without any True gives NaN in some kernels.
    With a window a token sees itself and the `window` - 1 before it.
    """
    documents_BT = layout.documents_BT
    tokens = documents_BT.shape[1]
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    real_BT1 = (documents_BT != PADDING)[:, :, None]
    causal_TT = causal_mask(tokens, window, documents_BT.device)
    itself_TT = torch.eye(tokens, dtype=torch.bool, device=documents_BT.device)
    return ((same_BTT & causal_TT & real_BT1) | itself_TT)[:, None]
