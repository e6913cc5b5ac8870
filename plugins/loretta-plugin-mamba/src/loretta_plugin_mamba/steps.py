"""Step sizes at the start of training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DT_RANGE = (1e-3, 1e-1)
"""They lie between these, evenly on a log scale."""


def draw_step_bias(count: int) -> Tensor:
    """float32 (count,): softplus of them is the step sizes."""
    low, high = (math.log(edge) for edge in DT_RANGE)
    dt = torch.empty(count, dtype=torch.float32).uniform_(low, high).exp()
    return dt + torch.log(-torch.expm1(-dt))
