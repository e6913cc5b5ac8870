"""A moving average of the weights, for rollouts that should not follow every step's noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """average <- decay * average + (1 - decay) * weights, after each step.

    Args:
        model: whose weights to follow.
        decay: part of the past kept per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._average = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of this step."""
        for name, parameter in model.named_parameters():
            self._average[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """The model computes with the average inside, with its own weights again after."""
        own = {name: parameter.data for name, parameter in model.named_parameters()}
        try:
            for name, parameter in model.named_parameters():
                parameter.data = self._average[name]
            yield
        finally:
            for name, parameter in model.named_parameters():
                parameter.data = own[name]

    def tensors(self) -> dict[str, Tensor]:
        """For the checkpoint."""
        return self._average

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        self._average = {
            name: tensors[name].to(old.device, copy=True) for name, old in self._average.items()
        }
