"""The networks of `signals.patches`. Axes: N values, T patches, D values a patch, W width."""

from __future__ import annotations

from torch import Tensor, nn


class PatchNetwork(nn.Module):
    """Patches to vectors: a linear layer, or two convolutions that see neighbouring patches.

    Args:
        inputs: D.
        width: W.
        convolve: whether neighbouring patches are seen.
    """

    def __init__(self, inputs: int, width: int, convolve: bool) -> None:
        super().__init__()
        self.width = width
        self.layers: nn.Module
        if convolve:
            first = nn.Conv1d(inputs, width, kernel_size=3, padding=1)
            second = nn.Conv1d(width, width, kernel_size=3, padding=1)
            self.layers = nn.Sequential(first, nn.GELU(), second)
        else:
            self.layers = nn.Conv1d(inputs, width, kernel_size=1)

    def forward(self, features_NTD: Tensor) -> Tensor:
        """(N, T, D) -> (N, T, W)."""
        vectors_NWT: Tensor = self.layers(features_NTD.transpose(1, 2))
        return vectors_NWT.transpose(1, 2)
