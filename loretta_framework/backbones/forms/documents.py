"""Documents as a kernel for packed sequences wants them: all rows as one line with borders in it.

B rows, T tokens a row, N documents, H query heads, G key/value heads, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout


def borders(layout: SequenceLayout) -> Tensor:
    """int32 (N + B + 1,): where each document begins in the line of all rows, and its end.

    The padding of a row counts as a document of its own, empty where there is none. So nothing is
    taken out of a row and put back, and no shape depends on what the device holds.
    """
    documents_BT = layout.documents_BT
    batch, tokens = documents_BT.shape
    place = torch.arange(batch * tokens + 1, device=documents_BT.device)
    real_BT = documents_BT != PADDING
    starts_BT = torch.where(
        real_BT & (layout.positions_BT == 0), place[:-1].view(batch, tokens), batch * tokens
    )
    starts_N = starts_BT.flatten().sort().values[: layout.cu_lengths.shape[0] - 1]
    padding_B = place[: batch * tokens : tokens] + real_BT.sum(1)
    return torch.cat((starts_N, padding_B, place[-1:])).sort().values.to(torch.int32)


def in_line(x_BHTK: Tensor) -> Tensor:
    """(B T, H, K) of a (B, H, T, K)."""
    return x_BHTK.transpose(1, 2).flatten(0, 1)


def in_rows(y_LHK: Tensor, like_BHTK: Tensor) -> Tensor:
    """The inverse of `in_line`, of the shape of `like`."""
    batch, _, tokens, _ = like_BHTK.shape
    return y_LHK.view(batch, tokens, *y_LHK.shape[1:]).transpose(1, 2)
