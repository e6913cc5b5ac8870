"""Networks with one fault each. Axes: N values, B rows, T tokens, C conditions, D features."""

from __future__ import annotations

from typing import Any

import torch
from sound_networks import DecoderNetwork, EncoderNetwork
from torch import Tensor, nn


class ShortVectors(EncoderNetwork):
    def forward(self, features_NTD: Tensor) -> Tensor:
        return super().forward(features_NTD)[:, :1]


class DeadParameter(EncoderNetwork):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.unused = nn.Parameter(torch.zeros(3))


class HiddenWeight(EncoderNetwork):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.shift = torch.randn(1)

    def forward(self, features_NTD: Tensor) -> Tensor:
        return super().forward(features_NTD) + self.shift


class BatchMean(EncoderNetwork):
    def forward(self, features_NTD: Tensor) -> Tensor:
        return super().forward(features_NTD - features_NTD.mean(0))


class Restless(EncoderNetwork):
    def forward(self, features_NTD: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(features_NTD))


class OneLoss(DecoderNetwork):
    def loss(self, conditions_BTC: Tensor, features_BTD: Tensor) -> Tensor:
        return super().loss(conditions_BTC, features_BTD).mean()


class Deaf(DecoderNetwork):
    def loss(self, conditions_BTC: Tensor, features_BTD: Tensor) -> Tensor:
        return super().loss(conditions_BTC.detach(), features_BTD)


class GlobalDice(DecoderNetwork):
    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        return super().sample(conditions_BTC, None)


class MixedRows(DecoderNetwork):
    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        return super().sample(conditions_BTC - conditions_BTC.mean(0), generator)


class TooShort(DecoderNetwork):
    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        return super().sample(conditions_BTC, generator)[:, :1]


class HiddenSpread(DecoderNetwork):
    def __init__(self, width: int, size: int) -> None:
        super().__init__(width, size)
        self.scale = torch.rand(1)

    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        return super().sample(conditions_BTC, generator) * self.scale
