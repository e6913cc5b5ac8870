"""The short causal convolution before the scan, one filter for each channel, and its activation.

B rows, T tokens, K taps, E channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from loretta_plugin_mamba.tokens import Tokens


def plain_convolve(x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, tokens: Tokens) -> Tensor:
    """silu(bias + sum_k weight[K-1-k] x_{t-k}) over the taps inside the token's document: (B, T, E).

    Every document starts here. Differentiable once.

    Args:
        x_BTE: inputs.
        weight_EK: the last tap is the token's own.
        bias_E: one number for each channel.
        tokens: which documents there are.
    """
    layout = tokens.layout
    positions = layout.positions_BT if layout.packed else None
    out_BTE: Tensor = _Convolve.apply(x_BTE, weight_EK, bias_E, positions)  # type: ignore[no-untyped-call]
    return out_BTE


class _Convolve(torch.autograd.Function):
    """Written by hand: autograd would keep and add up one product for each tap."""

    @staticmethod
    def forward(
        ctx: Any, x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, positions_BT: Tensor | None
    ) -> Tensor:
        # Rows of taps that lie together: strided ones cost five times as much to multiply by.
        taps_KE = weight_EK.to(x_BTE.dtype).t().contiguous()
        out_BTE = torch.addcmul(bias_E.to(x_BTE.dtype), x_BTE, taps_KE[-1])
        for back in range(1, min(len(taps_KE), x_BTE.shape[1])):
            earlier_BTE = _inside(x_BTE[:, : x_BTE.shape[1] - back], positions_BT, back)
            out_BTE[:, back:].addcmul_(earlier_BTE, taps_KE[-1 - back])
        open_BTE = out_BTE.sigmoid()
        out_BTE *= open_BTE
        ctx.save_for_backward(x_BTE, taps_KE, open_BTE, out_BTE, positions_BT)
        ctx.dtypes = weight_EK.dtype, bias_E.dtype
        return out_BTE

    @staticmethod
    def backward(ctx: Any, gradient_BTE: Tensor) -> Any:
        x_BTE, taps_KE, open_BTE, out_BTE, positions_BT = ctx.saved_tensors
        slope_BTE = (1 - open_BTE).mul_(out_BTE).add_(open_BTE).mul_(gradient_BTE)
        dx_BTE = slope_BTE * taps_KE[-1]
        product_BTE = torch.empty_like(slope_BTE)
        dtaps = [_total(torch.mul(slope_BTE, x_BTE, out=product_BTE))]
        dtaps += [torch.zeros_like(dtaps[0])] * (len(taps_KE) - 1)
        for back in range(1, min(len(taps_KE), x_BTE.shape[1])):
            later_BTE = _inside(slope_BTE[:, back:], positions_BT, back)
            dx_BTE[:, :-back].addcmul_(later_BTE, taps_KE[-1 - back])
            part_BTE = torch.mul(later_BTE, x_BTE[:, :-back], out=product_BTE[:, back:])
            dtaps[back] = _total(part_BTE)
        dweight_EK = torch.stack(dtaps[::-1], dim=1).to(ctx.dtypes[0])
        return dx_BTE, dweight_EK, _total(slope_BTE).to(ctx.dtypes[1]), None


def _inside(part_BTE: Tensor, positions_BT: Tensor | None, back: int) -> Tensor:
    if positions_BT is None:
        return part_BTE
    return part_BTE * (positions_BT[:, back:] >= back)[..., None]


def _total(part_BTE: Tensor) -> Tensor:
    """Sum over rows and tokens, float32 (E,)."""
    # Over one axis after the other: over both at once torch takes fifteen times as long.
    return part_BTE.sum(1, dtype=torch.float32).sum(0)


def convolve_on(
    x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, tokens: Tokens, conv_BKE: Tensor
) -> Tensor:
    """As `plain_convolve`, where a document may have begun in an earlier call.

    Args:
        x_BTE: inputs.
        weight_EK: the last tap is the token's own.
        bias_E: one number for each channel.
        tokens: which documents there are.
        conv_BKE: the K - 1 inputs before; becomes those before each row's next token.
    """
    taps, count = weight_EK.shape[1], x_BTE.shape[1]
    positions_BT = tokens.layout.positions_BT
    window_BTE = torch.cat([conv_BKE.to(x_BTE.dtype), x_BTE], dim=1)
    out_BTE = bias_E + x_BTE * weight_EK[:, -1]
    for back in range(1, taps):
        start = taps - 1 - back
        inside_BT1 = (positions_BT >= back)[..., None]
        earlier_BTE = window_BTE[:, start : start + count] * inside_BT1
        out_BTE = out_BTE + earlier_BTE * weight_EK[:, start]
    steps_K = torch.arange(taps - 1, device=x_BTE.device)
    index_BK = tokens.real_BT.sum(1, keepdim=True) + steps_K
    last_BKE = window_BTE.gather(1, index_BK[..., None].expand(-1, -1, window_BTE.shape[2]))
    conv_BKE.copy_(last_BKE)
    return functional.silu(out_BTE)
