"""The built-in Transformer: pre-norm RMSNorm, rotary, SwiGLU, grouped-query attention.

B rows, T tokens, S cached tokens, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.masks import document_mask
from loretta_framework.api.norms import RMSNorm
from loretta_framework.api.protocols import Cache
from loretta_framework.backbones.attention import Attention, Rotary, attend
from loretta_framework.backbones.cache import KeyValueCache
from loretta_framework.backbones.rotary import rotary_angles
from loretta_framework.backbones.settings import TransformerSettings


class SwiGLU(nn.Module):
    """silu(x W_gate) * (x W_up) W_down (Shazeer, 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        gate, up = self.gate_up(x_BTD).chunk(2, dim=-1)
        down: Tensor = self.down(functional.silu(gate) * up)
        return down


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(settings.width)
        self.attention = Attention(settings, form)
        self.mlp_norm = RMSNorm(settings.width)
        self.mlp = SwiGLU(settings.width, settings.hidden_width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(
        self, x_BTD: Tensor, rotary: Rotary, mask: Tensor | None, layout: SequenceLayout
    ) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        y_BTD = self.attention(self.attention_norm(x_BTD), rotary, mask, layout)
        x_BTD = x_BTD + self.dropout(y_BTD)
        changed_BTD: Tensor = x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))
        return changed_BTD

    def extend(
        self,
        x_BTD: Tensor,
        rotary: Rotary,
        mask: Tensor | None,
        cache: KeyValueCache,
        layer: int,
        first: int,
    ) -> Tensor:
        """As `forward`, with the cache's keys and values before the new ones."""
        attention = self.attention
        q, k, v = attention.project(self.attention_norm(x_BTD), rotary)
        keys, values = cache.write(layer, first, k, v)
        x_BTD = x_BTD + attention.merge(attend(q, keys, values, mask, attention.form))
        changed_BTD: Tensor = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return changed_BTD


class Transformer(nn.Module):
    """A `protocols.Backbone`. Attention form: "sdpa", "matmul" or "flash"."""

    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__()
        self.settings, self.form = settings, form
        self.width = settings.width
        self.blocks = nn.ModuleList(Block(settings, form) for _ in range(settings.depth))
        self.norm = RMSNorm(settings.width)
        self._init_weights()

    def _init_weights(self) -> None:
        # Projections back into the residual stream are scaled down so that its variance does not
        # grow with depth (Radford et al., 2019).
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                scale = 1 / math.sqrt(2 * self.settings.depth) if residual else 1.0
                nn.init.normal_(parameter, std=scale / math.sqrt(parameter.shape[1]))

    def _rotary(self, layout: SequenceLayout) -> Rotary:
        head = self.width // self.settings.heads
        return rotary_angles(layout.positions_BT, head, self.settings.rope_base)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        # Padding stands on the right, so a row of one document needs no mask beyond the causal one.
        masked = layout.packed and not (self.form == "flash" and self.training)
        mask = document_mask(layout) if masked else None
        rotary = self._rotary(layout)
        for block in self.blocks:
            x_BTD = block(x_BTD, rotary, mask, layout)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        """An empty cache for `batch` rows and up to `max_tokens` slots."""
        settings, weight = self.settings, self.norm.weight
        groups = settings.kv_heads or settings.heads
        shape = (settings.depth, batch, groups, max_tokens, self.width // settings.heads)
        dtype = torch.get_autocast_dtype(weight.device.type)
        enabled = torch.is_autocast_enabled(weight.device.type)
        return KeyValueCache.empty(shape, weight.device, dtype if enabled else weight.dtype)

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: Cache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D); the cache is `new_cache`'s."""
        assert isinstance(cache, KeyValueCache)
        tokens = x_BTD.shape[1]
        first, stop = cache.reserve(layout.documents_BT != PADDING)
        order_TS = (
            torch.arange(stop, device=x_BTD.device)
            <= torch.arange(first, stop, device=x_BTD.device)[:, None]
        )
        itself_TS = order_TS & (torch.arange(stop, device=x_BTD.device) >= stop - tokens)
        # A padded query sees the new slots before it too: its output is never read, and a row of
        # the mask without any True would be NaN.
        seen_BTS = (cache.valid_BS[:, None, :stop] & order_TS) | (
            itself_TS & (layout.documents_BT == PADDING)[:, :, None]
        )
        mask = seen_BTS[:, None]
        rotary = self._rotary(layout)
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x_BTD = block.extend(x_BTD, rotary, mask, cache, layer, first)
        normed: Tensor = self.norm(x_BTD)
        return normed


def build_transformer(settings: TransformerSettings, context: Any) -> Transformer:
    """Factory of the `transformer` backbone; notes which attention it took and why."""
    form, why = settings.attention, "asked for in the recipe"
    if form == "auto":
        form = "sdpa"
        why = "torch's own kernel serves every precision; flash-attn only where the recipe asks"
    context.note("backbone.settings.attention", form, why)
    return Transformer(settings, form)
