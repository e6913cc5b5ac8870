"""The gated norm behind the scan of Mamba-2. B rows, T tokens, E channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gated_norm(y_BTE: Tensor, gate_BTE: Tensor, weight_E: Tensor, eps: float) -> Tensor:
    """RMSNorm of y silu(gate) over the channels, float32 (B, T, E). Differentiable once.

    Args:
        y_BTE: float32.
        gate_BTE: any floating dtype.
        weight_E: of the norm.
        eps: added to the mean square.
    """
    out_BTE: Tensor = _GatedNorm.apply(y_BTE, gate_BTE, weight_E, eps)  # type: ignore[no-untyped-call]
    return out_BTE


class _GatedNorm(torch.autograd.Function):
    """Written by hand: autograd would pass over the channels three times as often."""

    @staticmethod
    def forward(ctx: Any, y_BTE: Tensor, gate_BTE: Tensor, weight_E: Tensor, eps: float) -> Tensor:
        ctx.dtype, gate_BTE = gate_BTE.dtype, gate_BTE.float()
        open_BTE = gate_BTE.sigmoid()
        out_BTE = (open_BTE * gate_BTE).mul_(y_BTE)
        square_BT1 = torch.linalg.vector_norm(out_BTE, dim=-1, keepdim=True).square_()
        scale_BT1 = square_BT1.div_(out_BTE.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(y_BTE, gate_BTE, weight_E, open_BTE, scale_BT1)
        return out_BTE.mul_(scale_BT1).mul_(weight_E.float())

    @staticmethod
    def backward(ctx: Any, gradient_BTE: Tensor) -> Any:
        y_BTE, gate_BTE, weight_E, open_BTE, scale_BT1 = ctx.saved_tensors
        weight = weight_E.float()
        opened_BTE = open_BTE * gate_BTE
        gated_BTE = opened_BTE * y_BTE
        product_BTE = gradient_BTE * gated_BTE
        product_TE = product_BTE.flatten(0, 1)
        dweight_E = scale_BT1.flatten() @ product_TE
        pull_BT1 = (product_TE @ weight).view_as(scale_BT1) * scale_BT1**3 / len(weight)
        slope_BTE = torch.mul(gradient_BTE, weight, out=product_BTE)
        slope_BTE.mul_(scale_BT1).addcmul_(gated_BTE, pull_BT1, value=-1)
        dy_BTE = torch.mul(slope_BTE, opened_BTE, out=gated_BTE)
        # d silu(g) / dg = s + g s (1 - s) with s = sigmoid(g), which was kept: exp is dear.
        dgate_BTE = opened_BTE.mul_(1 - open_BTE).add_(open_BTE).mul_(slope_BTE.mul_(y_BTE))
        return dy_BTE, dgate_BTE.to(ctx.dtype), dweight_E.to(weight_E.dtype), None
