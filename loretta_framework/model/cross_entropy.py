"""-log p(target) over a table of ids; of a large one the logits never exist as a whole.

n positions, c of them at once, D width, G ids.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_ELEMENTS = 2**24
"""Most logits that exist at once: 64 MiB in float32, of which a step holds a few copies.

Up to here the plain path is taken, which keeps them for backward. Above it every chunk's logits are
computed again there, a third more work in the head, and what a step needs stays the same however
many positions and ids it has. Chunks of this size are products large enough for any device.
"""


def nll_of(hidden_nD: Tensor, weight_GD: Tensor, targets_n: Tensor) -> Tensor:
    """float32 (n,) nats; under autocast the products are in its dtype.

    Args:
        hidden_nD: hidden states.
        weight_GD: output rows.
        targets_n: int64, each in 0..G-1.
    """
    if hidden_nD.shape[0] * weight_GD.shape[0] <= CHUNK_ELEMENTS:
        logits_nG = functional.linear(hidden_nD, weight_GD).float()
        return functional.cross_entropy(logits_nG, targets_n, reduction="none")
    device = hidden_nD.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden_nD, weight_GD = hidden_nD.to(dtype), weight_GD.to(dtype)
    nll_n: Tensor = ChunkedNll.apply(hidden_nD, weight_GD, targets_n)  # type: ignore[no-untyped-call]
    return nll_n


class ChunkedNll(torch.autograd.Function):
    """`nll_of` in chunks of positions. Sums run in float32, or in float64 where the input is."""

    @staticmethod
    def forward(ctx: Any, hidden_nD: Tensor, weight_GD: Tensor, targets_n: Tensor) -> Tensor:
        """(n,) nats."""
        parts, normalisers = [], []
        for here in _chunks(hidden_nD, weight_GD):
            logits_cG = _logits(hidden_nD[here], weight_GD)
            logsum_c = logits_cG.logsumexp(dim=1)
            chosen_c = logits_cG.gather(1, targets_n[here, None])[:, 0]
            parts.append(logsum_c - chosen_c)
            normalisers.append(logsum_c)
        ctx.save_for_backward(hidden_nD, weight_GD, targets_n, torch.cat(normalisers))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """softmax less the target, times the gradient of each position."""
        hidden_nD, weight_GD, targets_n, logsum_n = ctx.saved_tensors
        (grad_n,) = grads
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        hidden_grad_nD = torch.empty_like(hidden_nD) if needs_hidden else None
        weight_grad_GD = torch.zeros_like(weight_GD, dtype=grad_n.dtype) if needs_weight else None
        for here in _chunks(hidden_nD, weight_GD):
            p_cG = _logits(hidden_nD[here], weight_GD).sub_(logsum_n[here, None]).exp_()
            p_cG.mul_(grad_n[here, None])
            p_cG.scatter_add_(1, targets_n[here, None], -grad_n[here, None])
            p_cG = p_cG.to(weight_GD.dtype)
            if hidden_grad_nD is not None:
                hidden_grad_nD[here] = _product(p_cG, weight_GD)
            if weight_grad_GD is not None:
                weight_grad_GD += _product(p_cG.T, hidden_nD[here])
        if weight_grad_GD is not None:
            weight_grad_GD = weight_grad_GD.to(weight_GD.dtype)
        return hidden_grad_nD, weight_grad_GD, None


def _chunks(hidden_nD: Tensor, weight_GD: Tensor) -> list[slice]:
    count = max(1, CHUNK_ELEMENTS // weight_GD.shape[0])
    return [slice(first, first + count) for first in range(0, hidden_nD.shape[0], count)]


def _logits(hidden_cD: Tensor, weight_GD: Tensor) -> Tensor:
    """(c, G), a tensor of its own; never narrower than float32."""
    logits_cG = _product(hidden_cD, weight_GD.T)
    return logits_cG if logits_cG.dtype == torch.float64 else logits_cG.float()


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product in the dtype of its factors, under autocast too."""
    with torch.autocast(left.device.type, enabled=False):
        return left @ right
