"""The positions that have a loss, in the order in which the head works: found on the host.

On the device the same question would stop every step until the device had answered it.

N positions with weight, of B x T.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Predicted:
    """Positions whose loss weight is not 0, sorted by the id group of their target.

    Attributes:
        groups: the groups that occur, ascending.
        counts: positions of each of them; their sum is N.
        order_N: int64 index of each position in the flattened batch; by group, then as they lie.
    """

    groups: tuple[int, ...]
    counts: tuple[int, ...]
    order_N: Tensor

    @classmethod
    def of(cls, groups_BT: IntArray, weights_BT: FloatArray) -> Predicted:
        """The positions of a batch, from arrays of the host."""
        (places_N,) = np.nonzero(weights_BT.ravel() > 0)
        groups_N = groups_BT.ravel()[places_N]
        order_N = places_N[groups_N.argsort(kind="stable")]
        groups, counts = np.unique(groups_N, return_counts=True)
        return cls(tuple(groups.tolist()), tuple(counts.tolist()), torch.from_numpy(order_N))

    def to(self, device: torch.device | str) -> Predicted:
        """The same with `order_N` on another device."""
        return replace(self, order_N=moved(self.order_N, device))


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device. The host does not wait for a copy to a GPU to end."""
    if torch.device(device).type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
