"""Grouped-query causal attention, over a whole batch or over a cache.

B rows, T new tokens, H query heads, G key/value heads, K width of a head, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from loretta_framework.api.norms import RMSNorm
from loretta_framework.backbones.cache import Past
from loretta_framework.backbones.forms.dispatch import Sight, attend
from loretta_framework.backbones.rotary import rotate
from loretta_framework.backbones.settings import TransformerSettings


class Attention(nn.Module):
    """Projections, rotary, optional query/key norm, attention, output projection."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.kv_heads = settings.kv_heads or settings.heads
        self.head_width = settings.width // settings.heads
        columns = (self.heads + 2 * self.kv_heads) * self.head_width
        self.qkv = nn.Linear(settings.width, columns, bias=False)
        self.out = nn.Linear(settings.width, settings.width, bias=False)
        self.normed = normed = settings.qk_norm
        self.q_norm: nn.Module = RMSNorm(self.head_width) if normed else nn.Identity()
        self.k_norm: nn.Module = RMSNorm(self.head_width) if normed else nn.Identity()

    def project(self, x_BTD: Tensor, sight: Sight) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K), keys and values (B, G, T, K), rotated."""
        batch, tokens, _ = x_BTD.shape
        heads = (self.heads, self.kv_heads, self.kv_heads)
        qkv_BTHK = self.qkv(x_BTD).view(batch, tokens, sum(heads), self.head_width)
        if self.normed:
            q, k, v = qkv_BTHK.split(heads, dim=2)
            qkv_BTHK = torch.cat((self.q_norm(q), self.k_norm(k), v), dim=2)
        q, k, v = rotate(qkv_BTHK, self.kv_heads, sight.rotary)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def forward(self, x_BTD: Tensor, sight: Sight, past: Past | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D) over the batch's own tokens, and those of a cache before them."""
        q, k, v = self.project(x_BTD, sight)
        if past is not None:
            k, v = past.cache.write(past.layer, past.slots, k, v)
        merged: Tensor = self.out(attend(q, k, v, sight).transpose(1, 2).flatten(2))
        return merged
