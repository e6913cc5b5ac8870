"""Tokens of packed rows, brought to one line a document and back; never by asking the device.

B rows, T tokens a row, N lines, L tokens of a line, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from loretta_framework.api import PADDING, SequenceLayout


@dataclass(frozen=True, slots=True)
class Documents:
    """Where each token stands when every document has a line of its own.

    Attributes:
        lines: N.
        tokens: L; a shorter document is followed by zeros.
        real_BT: bool, False at padding.
        places_M: int64, for the tokens in reading order: line x L + position, or N x L at padding.
            None: each row is a line already.
    """

    lines: int
    tokens: int
    real_BT: Tensor
    places_M: Tensor | None

    @classmethod
    def of(cls, layout: SequenceLayout) -> Documents:
        """Read a layout."""
        real_BT = layout.documents_BT != PADDING
        if not layout.packed:
            rows, width = real_BT.shape
            return cls(rows, width, real_BT, None)
        lines, tokens = layout.cu_lengths.shape[0] - 1, layout.max_length
        starts_M = ((layout.positions_BT == 0) & real_BT).flatten()
        places_M = (starts_M.cumsum(0) - 1) * tokens + layout.positions_BT.flatten()
        return cls(lines, tokens, real_BT, places_M.where(real_BT.flatten(), lines * tokens))

    def lined(self, x_BTD: Tensor) -> Tensor:
        """(N, L, D): the documents, zeros behind each."""
        if self.places_M is None:
            return x_BTD * self.real_BT[..., None]
        return self._moved(x_BTD, there=True).view(self.lines, self.tokens, x_BTD.shape[-1])

    def in_rows(self, y_NLD: Tensor) -> Tensor:
        """(B, T, D): the tokens where they stood. At padding: 0, or what its line has there."""
        if self.places_M is None:
            return y_NLD
        return self._moved(y_NLD, there=False).view(*self.real_BT.shape, y_NLD.shape[-1])

    def _moved(self, x: Tensor, there: bool) -> Tensor:
        count = self.lines * self.tokens
        moved: Tensor = Moved.apply(x.flatten(0, 1), self.places_M, count, there)  # type: ignore[no-untyped-call]
        return moved


class Moved(torch.autograd.Function):
    """Rows to their places, or back from them: each way is the other's gradient, without sums."""

    @staticmethod
    def forward(ctx: Any, x_MD: Tensor, places_M: Tensor, count: int, there: bool) -> Tensor:
        """(count, D) when they go there, (M, D) when they come back; 0 where nothing comes."""
        ctx.save_for_backward(places_M)
        ctx.count, ctx.there = count, there
        return _there(x_MD, places_M, count) if there else _back(x_MD, places_M, count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MD: Tensor) -> tuple[Tensor, None, None, None]:
        """The other way."""
        (places_M,) = ctx.saved_tensors
        move = _back if ctx.there else _there
        return move(grad_MD, places_M, ctx.count), None, None, None


def _there(x_MD: Tensor, places_M: Tensor, count: int) -> Tensor:
    room = x_MD.new_zeros(count + 1, x_MD.shape[1])  # the last row takes what is padding
    return room.index_copy_(0, places_M, x_MD)[:count]


def _back(y_MD: Tensor, places_M: Tensor, count: int) -> Tensor:
    x_MD = y_MD.index_select(0, places_M.clamp(max=count - 1))
    return x_MD.mul_((places_M < count)[:, None])
