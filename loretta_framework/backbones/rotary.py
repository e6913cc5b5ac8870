"""Rotary position embedding (Su et al., 2021). B rows, H heads, T tokens, K width of a head."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(positions_BT: Tensor, head_width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 (B, 1, T, K/2), of position x base^(-2i/K)."""
    index_K = torch.arange(0, head_width, 2, device=positions_BT.device, dtype=torch.float32)
    frequency_K = base ** (-index_K / head_width)
    angle_BTK = positions_BT[..., None].float() * frequency_K
    return angle_BTK.cos()[:, None], angle_BTK.sin()[:, None]


def rotate(x_BHTK: Tensor, cos_B1TK: Tensor, sin_B1TK: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i+K/2}) by its angle; shape and dtype are kept."""
    left, right = x_BHTK.float().chunk(2, dim=-1)
    turned = (left * cos_B1TK - right * sin_B1TK, left * sin_B1TK + right * cos_B1TK)
    return torch.cat(turned, dim=-1).to(x_BHTK.dtype)
