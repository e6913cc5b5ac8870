"""The codec's network: patches to vectors, vectors to the nearest code, codes back to patches.

Axes: N images, C channels, H rows, W columns of pixels, R rows, S columns of tokens, D hidden
channels, L numbers of a code, K codes, V vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_plugin_image.vq.settings import VqSettings

NUMBERS = 16
"""Of a code: few, so that every code is near some vector."""


class Residual(nn.Module):
    """Two convolutions of the grid of tokens, added to what came in."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.GroupNorm(8, hidden), nn.SiLU(), nn.Conv2d(hidden, hidden, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x_NDRS: Tensor) -> Tensor:
        """(N, D, R, S) -> the same."""
        changed_NDRS: Tensor = self.layers(x_NDRS)
        return x_NDRS + changed_NDRS


class Codec(nn.Module):
    """Images to ids and back; all layers work on the grid of tokens, so a patch may have any side.

    `codes_KL` are learned by the quantiser that trains with the other parts, and copied here.
    """

    codes_KL: Tensor

    def __init__(self, settings: VqSettings) -> None:
        super().__init__()
        hidden, pixels = settings.hidden, settings.channels * settings.patch**2
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(settings.patch),
            nn.Conv2d(pixels, hidden, 3, padding=1),
            *(Residual(hidden) for _ in range(settings.blocks)),
            nn.Conv2d(hidden, NUMBERS, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(NUMBERS, hidden, 3, padding=1),
            *(Residual(hidden) for _ in range(settings.blocks)),
            # Without it large patches saturate the sigmoid. One group: eight would hide brightness.
            nn.GroupNorm(1, hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, pixels, 3, padding=1),
            nn.PixelShuffle(settings.patch),
            nn.Sigmoid(),
        )
        self.register_buffer("codes_KL", torch.zeros(settings.codebook_size, NUMBERS))

    def encode(self, x_NCHW: Tensor) -> Tensor:
        """Images in 0..1 -> int64 ids (N, R, S): of each vector the nearest code's, of equally near
        ones the lowest."""
        x_NLRS: Tensor = self.encoder(x_NCHW)
        vectors_VL = x_NLRS.permute(0, 2, 3, 1).reshape(-1, NUMBERS)
        # |x - c|^2 without |x|^2, which is the same for all codes
        far_VK: Tensor = self.codes_KL.square().sum(1) - 2 * vectors_VL @ self.codes_KL.T
        return far_VK.argmin(1).view(len(x_NLRS), *x_NLRS.shape[2:])

    def decode(self, ids_NRS: Tensor) -> Tensor:
        """int64 ids -> images (N, C, H, W) in 0..1."""
        codes_NRSL = functional.embedding(ids_NRS, self.codes_KL)
        image_NCHW: Tensor = self.decoder(codes_NRSL.permute(0, 3, 1, 2))
        return image_NCHW
