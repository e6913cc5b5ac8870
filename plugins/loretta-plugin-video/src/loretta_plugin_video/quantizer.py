"""Finite scalar quantization: each number of a code is rounded to one of a few levels. Imports torch.

Mentzer et al. 2023, arXiv 2309.15505. There is no codebook that could collapse. The order of the codes
is the paper's, and part of what saved ids mean; that of a library could change with it.

Axes: N clips, L numbers of a code, G the axes of the grid, K codes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FiniteScalarQuantizer(nn.Module):
    """Codes of `levels[0] * levels[1] * ...` kinds; without weights.

    Args:
        levels: steps of each number, at least 2.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        steps = torch.tensor(levels)
        # The bounds are a thousandth wider, or the outermost level were reached at infinity only.
        self._half = (steps - 1) * (1 + 1e-3) / 2
        self._offset = torch.where(steps % 2 == 0, 0.5, 0.0)
        self._shift = torch.atanh(self._offset / self._half)
        self._width = steps // 2
        self._steps = steps
        self._basis = torch.cat([steps.new_ones(1), steps[:-1].cumprod(0)])

    def forward(self, numbers_NLG: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, L, G) from -1 to 1, gradients straight through; ids int64 (N, G)."""
        numbers = numbers_NLG.movedim(1, -1)
        half, offset, shift, width = (
            part.to(numbers.device) for part in (self._half, self._offset, self._shift, self._width)
        )
        bounded = torch.tanh(numbers + shift) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        places = (rounded.detach().round() + width).long()
        ids_NG = (places * self._basis.to(numbers.device)).sum(-1)
        return (rounded / width).movedim(-1, 1), ids_NG

    def codes(self, ids_NG: Tensor) -> Tensor:
        """float32 (N, L, G): what ids from 0 to K-1 stand for."""
        places = ids_NG[..., None] // self._basis % self._steps
        return ((places - self._width) / self._width).movedim(-1, 1)
