"""Grouped-query causal attention, over a whole batch or over a cache.

B rows, T new tokens, S cached tokens, H query heads, G key/value heads, K width of a head, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.norms import RMSNorm
from loretta_framework.backbones.flash import flash_attend
from loretta_framework.backbones.rotary import rotate
from loretta_framework.backbones.settings import TransformerSettings

Rotary = tuple[Tensor, Tensor]


def attend(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None, form: str
) -> Tensor:
    """softmax(q k^T / sqrt(K)) v with the mask (bool, True = may look); None means causal, T = S.

    `form` "matmul" is the obvious reference, any other the fused kernel; (B, H, T, K).
    """
    if form != "matmul":
        grouped = q_BHTK.shape[1] != k_BGSK.shape[1]
        return functional.scaled_dot_product_attention(
            q_BHTK, k_BGSK, v_BGSK, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
        )
    repeat = q_BHTK.shape[1] // k_BGSK.shape[1]
    k_BHSK, v_BHSK = (x.repeat_interleave(repeat, dim=1) for x in (k_BGSK, v_BGSK))
    scores = q_BHTK @ k_BHSK.transpose(-1, -2) * q_BHTK.shape[-1] ** -0.5
    if mask is None:
        tokens = scores.shape[-1]
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores.float(), dim=-1).to(v_BHSK.dtype) @ v_BHSK


class Attention(nn.Module):
    """Projections, rotary, optional query/key norm, attention, output projection."""

    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__()
        self.heads = settings.heads
        self.kv_heads = settings.kv_heads or settings.heads
        self.head_width = settings.width // settings.heads
        self.form = form
        columns = (self.heads + 2 * self.kv_heads) * self.head_width
        self.qkv = nn.Linear(settings.width, columns, bias=False)
        self.out = nn.Linear(settings.width, settings.width, bias=False)
        normed = settings.qk_norm
        self.q_norm: nn.Module = RMSNorm(self.head_width) if normed else nn.Identity()
        self.k_norm: nn.Module = RMSNorm(self.head_width) if normed else nn.Identity()

    def project(self, x_BTD: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K), keys and values (B, G, T, K), rotated."""
        batch, tokens, _ = x_BTD.shape
        heads = (self.heads, self.kv_heads, self.kv_heads)
        split = self.qkv(x_BTD).split([count * self.head_width for count in heads], dim=-1)
        q, k, v = (
            part.view(batch, tokens, count, self.head_width).transpose(1, 2)
            for part, count in zip(split, heads, strict=True)
        )
        return rotate(self.q_norm(q), *rotary), rotate(self.k_norm(k), *rotary), v

    def merge(self, y_BHTK: Tensor) -> Tensor:
        """Heads side by side, then the output projection: (B, T, D)."""
        merged: Tensor = self.out(y_BHTK.transpose(1, 2).flatten(2))
        return merged

    def forward(
        self, x_BTD: Tensor, rotary: Rotary, mask: Tensor | None, layout: SequenceLayout
    ) -> Tensor:
        """(B, T, D) -> (B, T, D) over the batch's own tokens."""
        q, k, v = self.project(x_BTD, rotary)
        # The kernels need a GPU; a model that was trained with them is used on any machine.
        if self.form == "flash" and self.training:
            return self.merge(flash_attend(q, k, v, layout))
        return self.merge(attend(q, k, v, mask, self.form))
