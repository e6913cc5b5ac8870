"""Attention masks from a layout. Needs torch. B rows, T tokens a row."""

from __future__ import annotations

import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout


def document_mask(layout: SequenceLayout) -> Tensor:
    """Bool (B, 1, T, T), True where a query may look: the same document, not later.

    Padding looks at itself only: a row of the mask without any True gives NaN in some kernels.
    """
    documents_BT = layout.documents_BT
    tokens = documents_BT.shape[1]
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    real_BT1 = (documents_BT != PADDING)[:, :, None]
    causal_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=documents_BT.device).tril()
    itself_TT = torch.eye(tokens, dtype=torch.bool, device=documents_BT.device)
    return ((same_BTT & causal_TT & real_BT1) | itself_TT)[:, None]
