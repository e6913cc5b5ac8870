"""Keys and values kept between decoding steps.

L layers, B rows, G key/value heads, T new tokens, S slots, K width of a head. All rows append to the
same slots; a row whose prompt was shorter leaves slots that are marked as holding nothing. That
wastes a little memory and keeps every write a plain slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class KeyValueCache:
    """A growing cache with room for `max_tokens` slots.

    Attributes:
        used: slots taken so far, as the host knows it.
        whole: whether the host knows that no row left a slot empty.
    """

    def __init__(
        self, keys_LBGSK: Tensor, values_LBGSK: Tensor, valid_BS: Tensor, used: int
    ) -> None:
        self.keys_LBGSK, self.values_LBGSK = keys_LBGSK, values_LBGSK
        self.valid_BS = valid_BS
        self.used = used
        self.whole = used == 0

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int, int, int], device: torch.device, dtype: torch.dtype
    ) -> KeyValueCache:
        """Nothing cached; shape is (L, B, G, S, K)."""
        _, batch, _, slots, _ = shape
        valid_BS = torch.zeros(batch, slots, dtype=torch.bool, device=device)
        keys = torch.zeros(shape, device=device, dtype=dtype)
        return cls(keys, torch.zeros_like(keys), valid_BS, 0)

    def reserve(self, real_BT: Tensor) -> slice:
        """Take the next T slots, valid where `real_BT`.

        Raises:
            ValueError: the cache has no room left.
        """
        tokens = real_BT.shape[1]
        first, stop = self.used, self.used + tokens
        if stop > self.valid_BS.shape[1]:
            raise ValueError(f"the cache has {self.valid_BS.shape[1]} slots, but {stop} are needed")
        self.valid_BS[:, first:stop] = real_BT
        # Elsewhere than on a CPU the question would wait for the device.
        self.whole = self.whole and real_BT.device.type == "cpu" and bool(real_BT.all())
        self.used = stop
        return slice(first, stop)

    def write(
        self, layer: int, slots: slice, k_BGTK: Tensor, v_BGTK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store the new keys and values; returns the layer's in the slots taken so far, (B, G, S', K)."""
        keys_BGSK, values_BGSK = self.keys_LBGSK[layer], self.values_LBGSK[layer]
        keys_BGSK[:, :, slots] = k_BGTK
        values_BGSK[:, :, slots] = v_BGTK
        return keys_BGSK[:, :, : slots.stop], values_BGSK[:, :, : slots.stop]

    def select(self, rows: Tensor) -> KeyValueCache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        chosen = KeyValueCache(
            self.keys_LBGSK[:, rows], self.values_LBGSK[:, rows], self.valid_BS[rows], self.used
        )
        chosen.whole = self.whole
        return chosen

    def mask(self, slots: slice, real_BT: Tensor, window: int | None) -> Tensor | None:
        """What the tokens in the slots just taken may look at.

        Args:
            slots: what `reserve` returned.
            real_BT: bool, False at padding.
            window: tokens that a token sees, itself among them; None: all.

        Returns:
            Bool (B, 1, T, S'), or None where a causal mask is all that is needed.
        """
        device, stop = self.valid_BS.device, int(slots.stop)
        alone = slots.start == 0 or (self.whole and real_BT.shape[1] == 1)
        if alone and (window is None or window >= stop):
            return None
        slots_T = torch.arange(slots.start, stop, device=device)
        slot_S = torch.arange(stop, device=device)
        order_TS = slot_S <= slots_T[:, None]
        seen_BTS = self.valid_BS[:, None, :stop] & order_TS
        if window is not None:
            # Slots that hold nothing lie between, so distances are counted in those that do.
            place_BS = self.valid_BS[:, :stop].cumsum(1)
            seen_BTS &= place_BS[:, slots_T, None] - place_BS[:, None] < window
        # A padded query sees the new slots before it too: its output is never read, and a row of
        # the mask without any True would be NaN.
        itself_TS = order_TS & (slot_S >= slots_T[:1])
        return (seen_BTS | (itself_TS & ~real_BT[:, :, None]))[:, None]


@dataclass(frozen=True, slots=True)
class Past:
    """Where a block finds what came before its tokens."""

    cache: KeyValueCache
    layer: int
    slots: slice
