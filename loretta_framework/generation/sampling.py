"""From logits and a uniform number to a token.

Sampling by the inverse of the cumulative distribution takes one uniform number per (row, position).
A row's tokens then depend on its own numbers only, not on who else is in the batch, as they would
with a generator that all rows share.

N rows, G ids of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample(logits_NG: Tensor, uniforms_N: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """int64 (N,) indices within the group.

    Args:
        logits_NG: float32; -inf where an id must not occur.
        uniforms_N: float64 in [0, 1).
        temperature: 1 samples the model's distribution, 0 takes the most likely id.
        top_k: keep only the k most likely ids.

    Raises:
        ValueError: the temperature is negative or top_k not positive.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, but is {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, but is {top_k}")
    if temperature == 0:
        return logits_NG.argmax(dim=-1)
    if top_k is not None and top_k < logits_NG.shape[-1]:
        kept = logits_NG.topk(top_k, dim=-1).values[:, -1:]
        logits_NG = logits_NG.masked_fill(logits_NG < kept, float("-inf"))
    cumulative_NG = torch.softmax(logits_NG.double() / temperature, dim=-1).cumsum(dim=-1)
    # Scaled by the last entry: rounding leaves it a little off 1, and a number above it has no id.
    point_N1 = (uniforms_N.double() * cumulative_NG[:, -1])[:, None]
    index_N = torch.searchsorted(cumulative_NG, point_N1, right=True).squeeze(1)
    return index_N.clamp_(max=logits_NG.shape[-1] - 1)
