"""Keys and values kept between decoding steps.

L layers, B rows, G key/value heads, S slots, K width of a head. All rows append to the same slots;
a row whose prompt was shorter leaves slots that are marked as holding nothing. That wastes a little
memory and keeps every write a plain slice.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KeyValueCache:
    """A growing cache with room for `max_tokens` slots."""

    def __init__(
        self, keys_LBGSK: Tensor, values_LBGSK: Tensor, valid_BS: Tensor, used: int
    ) -> None:
        self.keys_LBGSK, self.values_LBGSK = keys_LBGSK, values_LBGSK
        self.valid_BS = valid_BS
        self.used = used

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int, int, int], device: torch.device, dtype: torch.dtype
    ) -> KeyValueCache:
        """Nothing cached; shape is (L, B, G, S, K)."""
        _, batch, _, slots, _ = shape
        valid_BS = torch.zeros(batch, slots, dtype=torch.bool, device=device)
        keys = torch.zeros(shape, device=device, dtype=dtype)
        return cls(keys, torch.zeros_like(keys), valid_BS, 0)

    def reserve(self, real_BT: Tensor) -> tuple[int, int]:
        """Take the next T slots, valid where `real_BT`; returns (first, stop).

        Raises:
            ValueError: the cache has no room left.
        """
        first, stop = self.used, self.used + real_BT.shape[1]
        if stop > self.valid_BS.shape[1]:
            raise ValueError(f"the cache has {self.valid_BS.shape[1]} slots, but {stop} are needed")
        self.valid_BS[:, first:stop] = real_BT
        self.used = stop
        return first, stop

    def write(
        self, layer: int, first: int, k_BGTK: Tensor, v_BGTK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store the new keys and values; returns all of the layer's so far, (B, G, S', K)."""
        stop = first + k_BGTK.shape[2]
        self.keys_LBGSK[layer, :, :, first:stop] = k_BGTK
        self.values_LBGSK[layer, :, :, first:stop] = v_BGTK
        return self.keys_LBGSK[layer, :, :, :stop], self.values_LBGSK[layer, :, :, :stop]

    def select(self, rows: Tensor) -> KeyValueCache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        return KeyValueCache(
            self.keys_LBGSK[:, rows], self.values_LBGSK[:, rows], self.valid_BS[rows], self.used
        )
