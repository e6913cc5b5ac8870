"""Normalisation that components share. Needs torch. D width, N all other axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis: x / sqrt(mean(x^2) + eps) * weight.

    Zhang and Sennrich, 2019. Shape and dtype are kept; computed in float32 (in float64 if x is).
    """

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        wide_D = x_D if x_D.dtype == torch.float64 else x_D.float()
        weight_D = self.weight.to(wide_D.dtype)
        # On a CPU torch computes its own as six operations, whose gradients are fourteen more. A
        # compiler fuses them; without one the same formula with a derivative by hand takes half.
        by_hand = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if by_hand and wide_D.device.type == "cpu":
            normed_D: Tensor = _ScaledByRoot.apply(wide_D, weight_D, self.eps)  # type: ignore[no-untyped-call]
        else:
            normed_D = functional.rms_norm(wide_D, weight_D.shape, weight_D, self.eps)
        return normed_D.to(x_D.dtype)


class _ScaledByRoot(torch.autograd.Function):
    """y = x r w with r = (|x|^2 / D + eps)^(-1/2), for each row of the last axis."""

    @staticmethod
    def forward(ctx: Any, x_D: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x_D, dim=-1, keepdim=True).square_()
        root = square.div_(x_D.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_D, weight_D, root)
        return torch.mul(x_D, root).mul_(weight_D)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_D: Tensor) -> tuple[Tensor, Tensor, None]:
        """dw = sum_N(g x r); dx = r (g w - x r^2 mean_D(g w x))."""
        x_D, weight_D, root = ctx.saved_tensors
        width = x_D.shape[-1]
        # LayerNorm's kernel is one pass over a row. With 0 for the mean its result is this one less
        # what a subtracted mean would send back: r mean_D(g w), which is added again.
        grad_x_D, grad_weight_D, _ = torch.ops.aten.native_layer_norm_backward(
            grad_D, x_D, [width], torch.zeros_like(root), root, weight_D, None, [True, True, False]
        )
        mean = (grad_D @ weight_D).unsqueeze(-1).mul_(root)
        return grad_x_D.add_(mean, alpha=1 / width), grad_weight_D, None
