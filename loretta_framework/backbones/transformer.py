"""The built-in Transformer: pre-norm RMSNorm, rotary, SwiGLU, grouped-query attention.

B rows, T tokens, S cached tokens, D width.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api.errors import MissingDependencyError
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.norms import RMSNorm
from loretta_framework.api.protocols import Cache
from loretta_framework.backbones.attention import Attention
from loretta_framework.backbones.cache import KeyValueCache, Past
from loretta_framework.backbones.forms import flash
from loretta_framework.backbones.forms.choice import RULE, choose
from loretta_framework.backbones.forms.dispatch import Sight, look
from loretta_framework.backbones.mlp import SwiGLU
from loretta_framework.backbones.rotary import Rotary, rotary_angles
from loretta_framework.backbones.settings import TransformerSettings


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(settings.width)
        self.attention = Attention(settings)
        self.mlp_norm = RMSNorm(settings.width)
        self.mlp = SwiGLU(settings.width, settings.hidden_width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x_BTD: Tensor, sight: Sight, past: Past | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D); with a past its keys and values come before the new ones."""
        y_BTD = self.attention(self.attention_norm(x_BTD), sight, past)
        # What is generated is never thinned out, also not in the midst of training.
        x_BTD = x_BTD + (self.dropout(y_BTD) if past is None else y_BTD)
        y_BTD = self.mlp(self.mlp_norm(x_BTD))
        changed_BTD: Tensor = x_BTD + (self.dropout(y_BTD) if past is None else y_BTD)
        return changed_BTD


class Transformer(nn.Module):
    """A `protocols.Backbone`. `form` is the setting `attention`."""

    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__()
        self.settings, self.form = settings, form
        self.width = settings.width
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.depth))
        self.norm: nn.Module = RMSNorm(settings.width) if settings.final_norm else nn.Identity()
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
        settings = self.settings
        form = choose(
            self.form,
            x_BTD.device,
            _compute_dtype(x_BTD),
            x_BTD.shape[1],
            packed=layout.packed,
            training=self.training,
            head_width=self.width // settings.heads,
        )
        sight = look(form, self._rotary(layout), layout, settings.window)
        for block in self.blocks:
            x_BTD = block(x_BTD, sight)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        """An empty cache for `batch` rows and up to `max_tokens` slots."""
        settings, weight = self.settings, next(self.parameters())
        groups = settings.kv_heads or settings.heads
        shape = (settings.depth, batch, groups, max_tokens, self.width // settings.heads)
        return KeyValueCache.empty(shape, weight.device, _compute_dtype(weight))

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: Cache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D); the cache is `new_cache`'s."""
        assert isinstance(cache, KeyValueCache)
        real_BT = layout.documents_BT != PADDING
        slots = cache.reserve(real_BT)
        # Over a cache the fused kernel is never slower: measured on CPUs, over the filled slots.
        form = "matmul" if self.form == "matmul" else "sdpa"
        mask = cache.mask(slots, real_BT, self.settings.window)
        sight = Sight(form, self._rotary(layout), mask)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, sight, Past(cache, layer, slots))
        normed: Tensor = self.norm(x_BTD)
        return normed


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Of products with x: autocast's where it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def build_transformer(settings: TransformerSettings, context: Any) -> Transformer:
    """Factory of the `transformer` backbone; notes which attention it took and why."""
    why = RULE if settings.attention == "auto" else "asked for in the recipe"
    if settings.attention == "flash":
        # Where none can be imported, training says so; to evaluate and generate none is needed.
        with suppress(MissingDependencyError):
            why = f"{why}; {flash.found()[2]}"
    context.note("backbone.settings.attention", settings.attention, why)
    return Transformer(settings, settings.attention)
