"""The layout a backbone is given: which token belongs to which document, and where.

B rows, T tokens a row, N documents. One type serves padded rows (one document a row) and packed
rows (several). Torch is needed only by whoever fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PADDING = -1
"""Document id of a position that holds no token."""


@dataclass(frozen=True, slots=True)
class SequenceLayout:
    """Where the tokens of a batch belong.

    Attributes:
        documents_BT: int64 (B, T), document id of each token, unique in the batch; `PADDING` where
            there is none. Padding follows the tokens of its row, it never lies between them.
        positions_BT: int64 (B, T), place of the token in its document from 0; 0 at padding.
        cu_lengths: int32 (N + 1,), cumulative token counts of the documents in reading order.
        max_length: longest document in tokens.
        packed: whether some row holds more than one document. When False a causal mask is enough.
    """

    documents_BT: Tensor
    positions_BT: Tensor
    cu_lengths: Tensor
    max_length: int
    packed: bool
