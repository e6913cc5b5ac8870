"""Networks of the sound continuous modality. Axes: B rows, T tokens, C conditions, D features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EncoderNetwork(nn.Module):
    def __init__(self, size: int, width: int = 5) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(size, width)
        self.drop = nn.Dropout(0.5)

    def forward(self, features_NTD: Tensor) -> Tensor:
        return self.drop(self.layer(features_NTD))


class DecoderNetwork(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, size)
        self.spread = nn.Parameter(torch.ones(size))

    def loss(self, conditions_BTC: Tensor, features_BTD: Tensor) -> Tensor:
        noise_BTD = torch.randn(features_BTD.shape) * self.spread
        return (self.layer(conditions_BTC) + noise_BTD - features_BTD).square().mean((1, 2))

    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        mean_BTD = self.layer(conditions_BTC)
        return mean_BTD + self.spread * torch.randn(mean_BTD.shape, generator=generator)
