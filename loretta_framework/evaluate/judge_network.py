"""The networks of judges and how their training data are varied.

B rows, N values, C channels, H x W places, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

GRID_SIDE = 4
"""From this side on, features may be a grid whose neighbours belong together."""

GRID_CORRELATION = 0.15
"""Least correlation of neighbours on a grid. Measured: images of digits 0.4, spectrograms 0.9;
hashed trigrams of text, whose order means nothing, 0.0."""

NOISE = 0.1


def is_grid(x_NCHW: Tensor) -> bool:
    """Whether places beside each other vary together, so that shifting them keeps the class."""
    if min(x_NCHW.shape[2:]) < GRID_SIDE:
        return False
    z_NCHW = x_NCHW - x_NCHW.mean(0)
    down = _correlation(z_NCHW[:, :, 1:], z_NCHW[:, :, :-1])
    right = _correlation(z_NCHW[..., 1:], z_NCHW[..., :-1])
    return (down + right) / 2 >= GRID_CORRELATION


def _correlation(a_NP: Tensor, b_NP: Tensor) -> float:
    """Of centred values at paired places, weighted by their sizes."""
    sizes = a_NP.square().mean(0).sqrt() * b_NP.square().mean(0).sqrt()
    return float((a_NP * b_NP).mean(0).sum() / (sizes.sum() + 1e-12))


def build_network(shape: Sequence[int], classes: int, grid: bool) -> nn.Module:
    """(B, C, H, W) -> logits (B, K): two convolutions for a grid, one hidden layer for a list."""
    channels, height, width = shape
    if not grid:
        size = channels * height * width
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes)
        )
    first, second = 24, 48
    stride = 2 if min(height, width) >= 4 * GRID_SIDE else 1
    layers: list[nn.Module] = [
        nn.Conv2d(channels, first, 2 * stride + 1, stride, padding=stride, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
    ]
    height, width = -(-height // stride), -(-width // stride)
    if min(height, width) >= 2 * GRID_SIDE:
        layers.append(nn.MaxPool2d(2))
        height, width = height // 2, width // 2
    layers += [
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
    ]
    kept = (min(height, GRID_SIDE), min(width, GRID_SIDE))
    layers += [nn.AdaptiveAvgPool2d(kept), nn.Flatten(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(second * kept[0] * kept[1], classes))


def vary(x_BCHW: Tensor, draw: np.random.Generator, grid: bool) -> Tensor:
    """A little noise, and on a grid shifts of up to a sixteenth of a side; the edge repeats."""
    rows, _, height, width = x_BCHW.shape
    if grid:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        down_BH, right_BW = _shifted(height, rows, draw), _shifted(width, rows, draw)
        batch_B11 = torch.arange(rows)[:, None, None]
        x_BCHW = x_BHWC[batch_B11, down_BH[:, :, None], right_BW[:, None, :]].permute(0, 3, 1, 2)
    noise = torch.from_numpy(draw.standard_normal(tuple(x_BCHW.shape), dtype=np.float32))
    return x_BCHW + NOISE * noise


def _shifted(side: int, rows: int, draw: np.random.Generator) -> Tensor:
    """int64 (rows, side): which place each place is taken from."""
    most = max(1, side // 16)
    shift_B1 = draw.integers(-most, most + 1, size=(rows, 1))
    return torch.from_numpy(np.clip(np.arange(side) + shift_B1, 0, side - 1))
