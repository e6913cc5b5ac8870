"""The 3-D convolutions of `video.vq`, and finite scalar quantization between them. Imports torch.

Axes: N clips, C channels, F frames, H rows, W columns; T tokens of a clip, in the order of the grid
(time, height, width).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from loretta_plugin_video.quantizer import FiniteScalarQuantizer
from loretta_plugin_video.settings import VqSettings

Stride = tuple[int, int, int]


class Network(nn.Module):
    """Clips to codes and back."""

    def __init__(self, settings: VqSettings) -> None:
        super().__init__()
        self._grid = settings.grid
        strides = strides_of(settings.downsample)
        widths = [
            min(settings.hidden << number, settings.max_hidden) for number in range(len(strides))
        ]
        codes = len(settings.levels)
        self.encoder = _encoder(settings.channels, widths, strides, codes)
        self.decoder = _decoder(settings.channels, widths, strides, codes)
        self.quantizer = FiniteScalarQuantizer(settings.levels)

    def forward(self, clips_NCFHW: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions (N, C, F, H, W), and ids int64 (N, T)."""
        codes, ids = self.quantizer(self.encoder(clips_NCFHW))
        return self.decoder(codes), ids.flatten(1)

    def ids(self, clips_NCFHW: Tensor) -> Tensor:
        """int64 (N, T)."""
        ids: Tensor = self.quantizer(self.encoder(clips_NCFHW))[1]
        return ids.flatten(1)

    def clips(self, ids_NT: Tensor) -> Tensor:
        """(N, C, F, H, W), about -1..1."""
        clips: Tensor = self.decoder(self.quantizer.codes(ids_NT.reshape(-1, *self._grid)))
        return clips


def strides_of(downsample: Stride) -> list[Stride]:
    """Each layer's strides: rows and columns are halved first, time last, where there is less left."""
    halvings = [factor.bit_length() - 1 for factor in downsample]
    layers = max(*halvings, 1)
    time, rows, columns = halvings
    return [
        (1 + (number >= layers - time), 1 + (number < rows), 1 + (number < columns))
        for number in range(layers)
    ]


def as_input(clips_NFHWC: NDArray[np.uint8]) -> Tensor:
    """float32 (N, C, F, H, W) from -1 to 1."""
    ordered = np.ascontiguousarray(clips_NFHWC.transpose(0, 4, 1, 2, 3))
    return torch.from_numpy(ordered).float() / 127.5 - 1


def as_clips(clips_NCFHW: Tensor) -> NDArray[np.uint8]:
    """uint8 (N, F, H, W, C)."""
    scaled = ((clips_NCFHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    clips: NDArray[np.uint8] = scaled.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()
    return clips


class _Residual(nn.Module):
    """x plus what two convolutions add to it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(width, width, 1),
        )

    def forward(self, x_NCFHW: Tensor) -> Tensor:
        changed: Tensor = x_NCFHW + self.inner(x_NCFHW)
        return changed


def _kernel(stride: Stride) -> dict[str, Any]:
    """With padding 1, four wide at stride 2 and three at 1 divide sizes exactly."""
    kernel = tuple(4 if step == 2 else 3 for step in stride)
    return {"kernel_size": kernel, "stride": stride, "padding": 1}


def _encoder(channels: int, widths: list[int], strides: list[Stride], codes: int) -> nn.Module:
    layers: list[nn.Module] = []
    before = channels
    for width, stride in zip(widths, strides, strict=True):
        layers += [nn.Conv3d(before, width, **_kernel(stride)), _Residual(width)]
        before = width
    if len(strides) > 1:
        del layers[1]  # at the highest resolution it would cost more than all others together
    return nn.Sequential(*layers, nn.GroupNorm(4, before), nn.SiLU(), nn.Conv3d(before, codes, 1))


def _decoder(channels: int, widths: list[int], strides: list[Stride], codes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv3d(codes, widths[-1], 3, padding=1)]
    for number in reversed(range(len(strides))):
        width, after = widths[number], widths[number - 1] if number else channels
        if number or len(strides) == 1:
            layers.append(_Residual(width))
        layers += [nn.SiLU(), nn.ConvTranspose3d(width, after, **_kernel(strides[number]))]
    return nn.Sequential(*layers)
