"""The gated MLP of a block. B rows, T tokens, D width, I width inside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class SwiGLU(nn.Module):
    """silu(x W_gate) * (x W_up) W_down (Shazeer, 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        down: Tensor = self.down(gated(self.gate_up(x_BTD)))
        return down


def gated(both_BTI: Tensor) -> Tensor:
    """silu(gate) * up, of gate and up side by side: (..., 2 I) -> (..., I)."""
    # As in `rotary.rotate`: the gradient by hand writes both halves in place, the automatic one
    # joins them by a copy.
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        gate_BTI, up_BTI = both_BTI.chunk(2, dim=-1)
        return functional.silu(gate_BTI) * up_BTI
    product: Tensor = _Gated.apply(both_BTI)  # type: ignore[no-untyped-call]
    return product


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both_BTI: Tensor) -> Tensor:
        gate_BTI, up_BTI = both_BTI.chunk(2, dim=-1)
        open_BTI = functional.silu(gate_BTI)
        ctx.save_for_backward(both_BTI, open_BTI)
        return open_BTI * up_BTI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTI: Tensor) -> Tensor:
        both_BTI, open_BTI = ctx.saved_tensors
        gate_BTI, up_BTI = both_BTI.chunk(2, dim=-1)
        grad_both_BTI = torch.empty_like(both_BTI)
        to_gate_BTI, to_up_BTI = grad_both_BTI.chunk(2, dim=-1)
        torch.mul(grad_BTI, open_BTI, out=to_up_BTI)
        torch.mul(grad_BTI, up_BTI, out=to_gate_BTI)
        torch.ops.aten.silu_backward.grad_input(to_gate_BTI, gate_BTI, grad_input=to_gate_BTI)
        return grad_both_BTI
