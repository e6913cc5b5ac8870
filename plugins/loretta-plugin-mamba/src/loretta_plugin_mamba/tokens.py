"""What all layers of a stack need to know of a layout. B rows, T tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from loretta_framework.api import PADDING, SequenceLayout


@dataclass(frozen=True, slots=True)
class Tokens:
    """A layout, read once.

    Attributes:
        layout: where the tokens belong.
        real_BT: bool, False at padding.
        starts_BT: bool, True at the first token of a document.
        segments_BT: int64, documents of each row, counted from 1; 0 is one that an earlier call
            began.
    """

    layout: SequenceLayout
    real_BT: Tensor
    starts_BT: Tensor
    segments_BT: Tensor

    @classmethod
    def of(cls, layout: SequenceLayout) -> Tokens:
        """Read a layout."""
        real_BT = layout.documents_BT != PADDING
        starts_BT = (layout.positions_BT == 0) & real_BT
        return cls(layout, real_BT, starts_BT, starts_BT.cumsum(1))
