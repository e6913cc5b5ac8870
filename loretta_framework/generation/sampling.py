"""From logits and a uniform number to a token.

Sampling by the inverse of the cumulative distribution takes one uniform number per (row, position).
A row's tokens then depend on its own numbers only, not on who else is in the batch, as they would
with a generator that all rows share.

The settings apply in this order, that of transformers' `generate`, each to what the one before
left, renormalised:

1. temperature: logits / temperature.
2. top_k: the k most likely ids (Fan et al., 2018, arXiv 1805.04833); ids as likely as the k-th stay.
3. top_p: the fewest most likely ids whose probabilities sum to top_p or more (Holtzman et al., 2020,
   arXiv 1904.09751); of equally likely ids the lower comes first.
4. min_p: ids at least min_p times as likely as the likeliest (Nguyen et al., 2024, arXiv 2407.01082).

N rows, G ids of a group.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an id is drawn.

    Attributes:
        temperature: 1 samples the model's distribution, 0 takes the most likely id; then nothing
            else counts.
        top_k: keep only the k most likely ids.
        top_p: keep only the fewest most likely ids that have this probability together; 0 < p <= 1.
        min_p: keep only ids this many times as likely as the likeliest; 0 <= p <= 1.

    Raises:
        ValueError: a number is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be finite and 0 or more, but is {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, but is {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, but is {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be between 0 and 1, but is {self.min_p}")


def samplings(
    targets: Collection[str],
    temperature: float | Mapping[str, float],
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
) -> dict[str, Sampling]:
    """How each of the modalities is sampled; those without a temperature at 1.

    Raises:
        ValueError: a number is out of its range.
    """
    degrees = (
        temperature if isinstance(temperature, Mapping) else dict.fromkeys(targets, temperature)
    )
    return {name: Sampling(degrees.get(name, 1.0), top_k, top_p, min_p) for name in targets}


def kept(logits_NG: Tensor, sampling: Sampling) -> Tensor:
    """The logits, divided by the temperature, -inf where an id is left out; at least one stays.

    Args:
        logits_NG: floats; -inf where an id must not occur.
        sampling: with a temperature above 0.
    """
    if sampling.top_k is not None and sampling.top_k < logits_NG.shape[-1]:
        least_N1 = logits_NG.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits_NG = logits_NG.masked_fill(logits_NG < least_N1, float("-inf"))
    scaled_NG = logits_NG.double() / sampling.temperature
    if sampling.top_p is not None and sampling.top_p < 1:
        sorted_NG, order_NG = scaled_NG.sort(dim=-1, descending=True, stable=True)
        chances_NG = torch.softmax(sorted_NG, dim=-1)
        before_NG = chances_NG.cumsum(dim=-1) - chances_NG
        out_NG = (before_NG >= sampling.top_p).index_fill_(1, order_NG.new_zeros(1), False)
        scaled_NG = scaled_NG.masked_fill(
            torch.empty_like(out_NG).scatter_(1, order_NG, out_NG), float("-inf")
        )
    if sampling.min_p:
        least_N1 = scaled_NG.amax(dim=-1, keepdim=True) + math.log(sampling.min_p)
        scaled_NG = scaled_NG.masked_fill(scaled_NG < least_N1, float("-inf"))
    return scaled_NG


def sample(logits_NG: Tensor, uniforms_N: Tensor, sampling: Sampling) -> Tensor:
    """int64 (N,) indices within the group.

    Args:
        logits_NG: float32; -inf where an id must not occur.
        uniforms_N: float64 in [0, 1).
        sampling: how.
    """
    if sampling.temperature == 0:
        return logits_NG.argmax(dim=-1)
    cumulative_NG = torch.softmax(kept(logits_NG, sampling), dim=-1).cumsum(dim=-1)
    # Scaled by the last entry: rounding leaves it a little off 1, and a number above it has no id.
    point_N1 = (uniforms_N.double() * cumulative_NG[:, -1])[:, None]
    index_N = torch.searchsorted(cumulative_NG, point_N1, right=True).squeeze(1)
    return index_N.clamp_(max=logits_NG.shape[-1] - 1)
