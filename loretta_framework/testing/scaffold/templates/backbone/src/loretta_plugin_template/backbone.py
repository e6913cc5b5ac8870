"""`template.memory`: a stack of gated linear recurrences (after minGRU, arXiv 2410.01201).

In each channel the memory m is a moving mean of values v, with a rate that the input sets:

    m_t = a_t m_{t-1} + (1 - a_t) v_t        0 < a_t < 1

B rows, T tokens, D width, L blocks.
"""

from __future__ import annotations

import torch
from loretta_framework.api import PADDING, BuildContext, RMSNorm, SequenceLayout
from torch import Tensor, nn
from torch.nn import functional

from loretta_plugin_template.settings import MemorySettings


def scan(keep_BTD: Tensor, add_BTD: Tensor) -> Tensor:
    """m_t = keep_t m_{t-1} + add_t from m = 0, in log2(T) steps instead of T. (B, T, D).

    After the step of size s, `add_t` holds what the last 2 s tokens left, `keep_t` what is kept of
    anything older. It never looks at a later token, and a factor of 0 cuts off all that was before.
    """
    step = 1
    while step < keep_BTD.shape[1]:
        older_keep = functional.pad(keep_BTD[:, :-step], (0, 0, step, 0), value=1.0)
        older_add = functional.pad(add_BTD[:, :-step], (0, 0, step, 0))
        add_BTD = add_BTD + keep_BTD * older_add
        keep_BTD = keep_BTD * older_keep
        step *= 2
    return add_BTD


class Block(nn.Module):
    """x + out(silu(gate) * memory)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.inner = nn.Linear(width, 3 * width, bias=False)
        self.keep_bias = nn.Parameter(torch.linspace(0.0, 5.0, width))
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x_BTD: Tensor, layout: SequenceLayout, memory_BD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, T, D) and float32 (B, D) in; outputs and the memory after the last token out."""
        value, gate, keep = self.inner(self.norm(x_BTD)).chunk(3, dim=-1)
        # In float32: a memory of thousands of tokens needs rates nearer to 1 than bfloat16 has.
        keep_BTD = torch.sigmoid(keep.float() + self.keep_bias.float())
        add_BTD = (1 - keep_BTD) * value.float()
        starts_BT1 = ((layout.positions_BT == 0) & (layout.documents_BT != PADDING))[..., None]
        padding_BT1 = (layout.documents_BT == PADDING)[..., None]
        # A document starts from nothing, and padding hands the memory on as it is.
        keep_BTD = keep_BTD.masked_fill(starts_BT1, 0.0).masked_fill(padding_BT1, 1.0)
        add_BTD = add_BTD.masked_fill(padding_BT1, 0.0)
        first_B1D = add_BTD[:, :1] + keep_BTD[:, :1] * memory_BD[:, None]
        memory_BTD = scan(keep_BTD, torch.cat([first_B1D, add_BTD[:, 1:]], dim=1))
        out_BTD = self.out(memory_BTD.to(x_BTD.dtype) * functional.silu(gate))
        return x_BTD + out_BTD, memory_BTD[:, -1]


class Memory(nn.Module):
    """A `loretta_framework.api.Backbone`."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__()
        self.width = settings.width
        self.blocks = nn.ModuleList(Block(settings.width) for _ in range(settings.depth))
        self.norm = RMSNorm(settings.width)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.extend(x_BTD, layout, self.new_cache(len(x_BTD), x_BTD.shape[1]))

    def new_cache(self, batch: int, max_tokens: int) -> MemoryCache:
        """An empty cache; its size does not depend on `max_tokens`."""
        device = self.norm.weight.device
        return MemoryCache(torch.zeros(len(self.blocks), batch, self.width, device=device))

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: MemoryCache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D)."""
        memories = []
        for block, memory_BD in zip(self.blocks, cache.memory_LBD, strict=True):
            x_BTD, memory_BD = block(x_BTD, layout, memory_BD)
            memories.append(memory_BD)
        cache.memory_LBD = torch.stack(memories)
        normed: Tensor = self.norm(x_BTD)
        return normed


class MemoryCache:
    """The memory of each block and row, float32 (L, B, D)."""

    def __init__(self, memory_LBD: Tensor) -> None:
        self.memory_LBD = memory_LBD

    def select(self, rows: Tensor) -> MemoryCache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        return MemoryCache(self.memory_LBD[:, rows])


def build_memory(settings: MemorySettings, context: BuildContext) -> Memory:
    """The factory."""
    return Memory(settings)
