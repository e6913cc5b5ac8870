"""A backbone that convolves by FFT, sound and with leaks. Axes: B rows, T tokens, D width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import RMSNorm, SequenceLayout
from loretta_framework.backbones.settings import TransformerSettings


class Sound(nn.Module):
    """x + a long convolution of norm(x): the filter of each channel is a decaying exponential."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.width = settings.width
        self.norm = RMSNorm(settings.width)
        self.rates = nn.Parameter(torch.rand(settings.width))
        self.out = nn.Linear(settings.width, settings.width)
        self.last = RMSNorm(settings.width)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        y_BTD = self.mixed(self.norm(x_BTD).float(), layout)
        normed: Tensor = self.last(x_BTD + self.out(y_BTD))
        return normed

    def mixed(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        if not layout.packed:
            return self.convolved(x_BTD)
        parts = []
        for document in range(int(layout.documents_BT.max()) + 1):
            own_BT1 = (layout.documents_BT == document)[..., None]
            parts.append(self.convolved(x_BTD * own_BT1) * own_BT1)
        return torch.stack(parts).sum(0)

    def convolved(self, x_BTD: Tensor, room: int = 2) -> Tensor:
        """`room` times the tokens are transformed; 2 leaves place for the filter's end."""
        tokens = x_BTD.shape[1]
        steps_T1 = torch.arange(tokens, device=x_BTD.device)[:, None]
        filter_TD = torch.exp(-functional.softplus(self.rates) * steps_T1)
        size = room * tokens
        product = torch.fft.rfft(x_BTD, size, dim=1) * torch.fft.rfft(filter_TD, size, dim=0)
        return torch.fft.irfft(product, size, dim=1)[:, :tokens]


class WrapsAround(Sound):
    def convolved(self, x_BTD: Tensor, room: int = 1) -> Tensor:
        return super().convolved(x_BTD, room)


class IgnoresDocuments(Sound):
    def mixed(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return self.convolved(x_BTD)


class LeaksALittle(Sound):
    """A thousandth of the next token."""

    def mixed(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().mixed(x_BTD, layout) + 1e-3 * functional.pad(x_BTD[:, 1:], (0, 0, 0, 1))


class LeaksBehindTheNorm(Sound):
    """So little that only a large change shows it."""

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        out_BTD = super().forward(x_BTD, layout)
        return out_BTD + 1e-5 * functional.pad(x_BTD[:, 1:], (0, 0, 0, 1))


def __getattr__(name: str) -> Any:
    """`build_<class>` is a factory."""
    if not name.startswith("build_"):
        raise AttributeError(name)
    kind = globals()[name.removeprefix("build_")]
    return lambda settings, context: kind(settings)
