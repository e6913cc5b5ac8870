"""The short causal convolution of each channel, explicit taps.

C channels, N lines, L tokens of a line, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve_short(x_CNL: Tensor, weight_CK: Tensor) -> Tensor:
    """y_t = sum_k weight[K-1-k] x_(t-k), nothing before a line's first token: (C, N, L)."""
    out_CNL: Tensor = ShortConvolution.apply(x_CNL, weight_CK.to(x_CNL.dtype))  # type: ignore[no-untyped-call]
    return out_CNL


class ShortConvolution(torch.autograd.Function):
    """Sums of shifted slices, in place: no copy is made for a tap, forward or backward."""

    @staticmethod
    def forward(ctx: Any, x_CNL: Tensor, weight_CK: Tensor) -> Tensor:
        """See `convolve_short`."""
        ctx.save_for_backward(x_CNL, weight_CK)
        *earlier, own = weight_CK[..., None, None].unbind(1)
        out_CNL = x_CNL * own
        for back, tap in enumerate(reversed(earlier), start=1):
            out_CNL[..., back:].addcmul_(x_CNL[..., :-back], tap)
        return out_CNL

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_CNL: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of x: the taps the other way round; of the taps: products with the shifted inputs."""
        x_CNL, weight_CK = ctx.saved_tensors
        *earlier, own = weight_CK[..., None, None].unbind(1)
        grad_x = grad_CNL * own
        grad_taps = [(grad_CNL * x_CNL).sum((1, 2))]
        for back, tap in enumerate(reversed(earlier), start=1):
            later = grad_CNL[..., back:]
            grad_x[..., :-back].addcmul_(later, tap)
            grad_taps.append((later * x_CNL[..., :-back]).sum((1, 2)))
        return grad_x, torch.stack(grad_taps[::-1], dim=1)
