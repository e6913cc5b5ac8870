"""Implicit filters: a small network of the distance, under windows that fade exponentially.

The time scale is a setting, so a filter does not depend on how long the sequence is, and there is no
longest one. C channels (those of all orders), L distances, E features of a distance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from loretta_plugin_hyena.convolution import exactly
from loretta_plugin_hyena.settings import HyenaSettings

SHORTEST_PERIOD = 3.0
"""Tokens; the periods of a distance's features lie from here to twice the time scale."""

SHORTEST_REACH = 4.0
"""Tokens after which the fastest channel has faded; the slowest has after the time scale."""

FADED = 0.01
"""What is left of a window at its reach."""


def distance_features(tokens: int, settings: HyenaSettings, device: torch.device) -> Tensor:
    """float32 (L, E) of the distances 0 to L - 1: logarithm, cosines and sines, all of size 1."""
    distance_L1 = torch.arange(tokens, device=device, dtype=torch.float32)[:, None]
    step_E = torch.linspace(0, 1, settings.filter_bands, device=device)
    span = 2 * settings.filter_tokens / SHORTEST_PERIOD
    period_E = SHORTEST_PERIOD * span**step_E
    # The remainder is exact; the angle of a long distance would have lost its digits.
    angle_LE = 2 * math.pi * (distance_L1.remainder(period_E) / period_E)
    log_L1 = distance_L1.log1p() / math.log1p(settings.filter_tokens)
    return torch.cat([log_L1, angle_LE.cos(), angle_LE.sin()], dim=1)


class Filters(nn.Module):
    """The filters of a block: sin, sin, linear, times a window, plus a weight at distance 0.

    All in float32 whatever the precision: a filter is a sum of many small parts.
    """

    def __init__(self, settings: HyenaSettings) -> None:
        super().__init__()
        channels, width = settings.order * settings.width, settings.filter_width
        features = 1 + 2 * settings.filter_bands
        float32 = torch.float32
        self.first = nn.Linear(features, width, dtype=float32)
        self.second = nn.Linear(width, width, dtype=float32)
        self.last = nn.Linear(width, channels, bias=False, dtype=float32)
        reach_C = torch.linspace(0, 1, settings.width, dtype=float32).repeat(settings.order)
        reach_C = SHORTEST_REACH * (settings.filter_tokens / SHORTEST_REACH) ** reach_C
        self.log_rates = nn.Parameter((-math.log(FADED) / reach_C).log())
        self.skip = nn.Parameter(torch.ones(channels, dtype=float32))
        # sin wants inputs of a few radians; its outputs have a mean square of 1/2.
        nn.init.normal_(self.first.weight, std=(8 / features) ** 0.5)
        nn.init.uniform_(self.first.bias, -math.pi, math.pi)
        nn.init.normal_(self.second.weight, std=(4 / width) ** 0.5)
        nn.init.uniform_(self.second.bias, -math.pi, math.pi)
        nn.init.normal_(self.last.weight, std=(2 / width) ** 0.5)

    def forward(self, features_LE: Tensor) -> Tensor:
        """float32 (C, L): the weight of an input at each distance."""
        with exactly(features_LE):
            hidden_LW = torch.sin(self.first(features_LE))
            hidden_LW = torch.sin(self.second(hidden_LW))
            shape_CL = self.last.weight @ hidden_LW.t()
        rates_C1 = self.log_rates.exp()[:, None]
        distance_L = torch.arange(len(features_LE), device=features_LE.device)
        # Over all distances the squares of a window sum to 1, whatever its rate.
        energy_C1 = -torch.expm1(-2 * rates_C1)
        window_CL = energy_C1.sqrt() * torch.exp(-rates_C1 * distance_L)
        skip_CL = torch.nn.functional.pad(self.skip[:, None], (0, len(features_LE) - 1))
        return shape_CL * window_CL + skip_CL
