"""Normalisation that components share. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis: x / sqrt(mean(x^2) + eps) * weight.

    Zhang and Sennrich, 2019. Shape and dtype are kept; computed in float32.
    """

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        normed_D = functional.rms_norm(
            x_D.float(), self.weight.shape, self.weight.float(), self.eps
        )
        return normed_D.to(x_D.dtype)
