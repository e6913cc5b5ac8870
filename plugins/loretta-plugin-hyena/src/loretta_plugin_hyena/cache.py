"""What Hyena keeps between decoding steps: the inputs of its convolutions.

B rows, T new tokens, S slots, O orders, C channels, K taps of the short convolution. In each row the
inputs stand side by side and end in the last slot used, so that a slot is as far from the newest
token in all rows; before a row's first token there are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from loretta_framework.api import Cache
from loretta_plugin_hyena.convolution import convolve, exactly


@dataclass(slots=True)
class Inputs:
    """Of one block.

    Attributes:
        short_CBK: float32, the last K - 1 inputs of the short convolutions.
        long_OCBS: float32, all inputs of the long ones.
        reversed_OCS: float32 filters, the longest distance first; shared by selections.
    """

    short_CBK: Tensor
    long_OCBS: Tensor
    reversed_OCS: Tensor

    def select(self, rows: Tensor) -> Inputs:
        """The rows given (int64 (B',)), copied."""
        return Inputs(self.short_CBK[:, rows], self.long_OCBS[:, :, rows], self.reversed_OCS)


Layer: TypeAlias = Inputs | Cache
"""Of a Hyena block, or the cache of an attention layer."""


class HyenaCache:
    """One entry for each layer; all rows append to the same slots."""

    def __init__(self, layers: list[Layer], slots: int, used: int = 0) -> None:
        self.layers, self.slots, self.used = layers, slots, used

    def reserve(self, tokens: int) -> int:
        """Take the next slots; the first of them.

        Raises:
            ValueError: there is no room left.
        """
        first, self.used = self.used, self.used + tokens
        if self.used > self.slots:
            raise ValueError(f"the cache has {self.slots} slots, but {self.used} are needed")
        return first

    def select(self, rows: Tensor) -> HyenaCache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        return HyenaCache([layer.select(rows) for layer in self.layers], self.slots, self.used)


@dataclass(frozen=True, slots=True)
class Step:
    """What is appended.

    Attributes:
        first: the slot of the first new token.
        real_BT: bool, False at padding.
        late_B: int64, new tokens that each row lacks; None where no row is known to lack any.
    """

    first: int
    real_BT: Tensor
    late_B: Tensor | None

    @classmethod
    def of(cls, first: int, real_BT: Tensor) -> Step:
        """On a CPU it is worth a look whether rows must be moved; a GPU would have to wait for it."""
        whole = real_BT.device.type == "cpu" and bool(real_BT.all())
        return cls(first, real_BT, None if whole else (~real_BT).sum(1))


def short_window(inputs: Inputs, x_CBT: Tensor, step: Step) -> Tensor:
    """The kept inputs, then the new ones: (C, B, K - 1 + T). The last real ones are kept."""
    window_CBW = torch.cat([inputs.short_CBK, x_CBT], dim=2)
    taps, tokens = inputs.short_CBK.shape[2], x_CBT.shape[2]
    kept_CBK = window_CBW[..., tokens:]
    if step.late_B is not None:
        index_BK = torch.arange(taps, device=x_CBT.device) + (tokens - step.late_B)[:, None]
        kept_CBK = window_CBW.gather(2, index_BK.expand(len(x_CBT), -1, -1))
    inputs.short_CBK = kept_CBK.float()
    return window_CBW


def convolve_long(inputs: Inputs, order: int, v_CBT: Tensor, step: Step) -> Tensor:
    """Append float32 inputs, 0 at padding, to one order's; their convolution (C, B, T)."""
    first, stop = step.first, step.first + v_CBT.shape[2]
    history_CBS, reversed_CS = inputs.long_OCBS[order], inputs.reversed_OCS[order]
    history_CBS[..., first:stop] = v_CBT
    held_CBS = history_CBS[..., :stop]
    near_CS = reversed_CS[:, reversed_CS.shape[1] - stop :]
    if v_CBT.shape[2] == 1:
        with exactly(v_CBT):
            out_CBT = torch.bmm(held_CBS, near_CS[..., None])
    elif first:
        out_CBT = convolve(held_CBS, near_CS.flip(1))[..., first:]
    else:
        out_CBT = convolve(v_CBT, near_CS.flip(1))
    if step.late_B is not None:
        index_BS = torch.arange(stop, device=v_CBT.device) - step.late_B[:, None]
        moved_CBS = held_CBS.gather(2, index_BS.clamp(min=0).expand(len(v_CBT), -1, -1))
        history_CBS[..., :stop] = moved_CBS * (index_BS >= 0)
    return out_CBT
