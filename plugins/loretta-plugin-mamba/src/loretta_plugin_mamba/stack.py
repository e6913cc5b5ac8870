"""Mamba layers one after the other, with attention at every k-th where it is asked for.

B rows, T tokens, D width, K taps, E channels of the convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api import BuildContext, RMSNorm, SequenceLayout
from loretta_plugin_mamba.settings import MambaSettings
from loretta_plugin_mamba.tokens import Tokens


class Memory:
    """What a Mamba layer keeps of a row: the convolution's last inputs, and its state. Float32.

    Steps write into the tensors it was made with.

    Attributes:
        conv_BKE: (B, K - 1, E).
        state: (B, ...), as the layer's scan has it.
    """

    def __init__(self, conv_BKE: Tensor, state: Tensor) -> None:
        self.conv_BKE, self.state = conv_BKE, state

    def select(self, rows: Tensor) -> Memory:
        """Of the rows given."""
        return Memory(self.conv_BKE[rows], self.state[rows])


class StackCache:
    """What every layer keeps: a `Memory`, or what an attention layer's backbone keeps."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers

    def select(self, rows: Tensor) -> StackCache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        return StackCache([layer.select(rows) for layer in self.layers])


class MambaBlock(nn.Module):
    """x + mixer(norm(x))."""

    mixer: Any

    def __init__(self, settings: MambaSettings, mixer: nn.Module) -> None:
        super().__init__()
        self.norm = RMSNorm(settings.width)
        self.mixer = mixer
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x_BTD: Tensor, tokens: Tokens, memory: Memory | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D); with a memory, the tokens that follow those it has seen."""
        changed_BTD: Tensor = x_BTD + self.dropout(self.mixer(self.norm(x_BTD), tokens, memory))
        return changed_BTD

    def new_memory(self, batch: int, max_tokens: int) -> Memory:
        """Of no tokens; its size does not depend on `max_tokens`."""
        device = self.norm.weight.device
        conv, state = self.mixer.memory_shapes()
        return Memory(
            torch.zeros(batch, *conv, device=device), torch.zeros(batch, *state, device=device)
        )


class AttentionBlock(nn.Module):
    """Another backbone of one layer, without a norm behind it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x_BTD: Tensor, tokens: Tokens, memory: Any = None) -> Tensor:
        """As `MambaBlock.forward`; the memory is the inner backbone's cache."""
        if memory is None:
            out_BTD: Tensor = self.inner(x_BTD, tokens.layout)
        else:
            out_BTD = self.inner.extend(x_BTD, tokens.layout, memory)
        return out_BTD

    def new_memory(self, batch: int, max_tokens: int) -> Any:
        """The inner backbone's."""
        return self.inner.new_cache(batch, max_tokens)


class Stack(nn.Module):
    """A `loretta_framework.api.Backbone`."""

    def __init__(
        self, settings: MambaSettings, mixer: Callable[[], nn.Module], context: BuildContext
    ) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.blocks = nn.ModuleList(
            _attention(settings, context) if number in settings.attention_layers
            else MambaBlock(settings, mixer())
            for number in range(settings.depth)
        )  # fmt: skip
        self.norm = RMSNorm(settings.width)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        tokens = Tokens.of(layout)
        for block in self.blocks:
            x_BTD = block(x_BTD, tokens)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def new_cache(self, batch: int, max_tokens: int) -> StackCache:
        """An empty cache; `max_tokens` matters to attention layers only."""
        blocks: Iterable[Any] = self.blocks
        return StackCache([block.new_memory(batch, max_tokens) for block in blocks])

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: StackCache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D)."""
        tokens = Tokens.of(layout)
        for block, memory in zip(self.blocks, cache.layers, strict=True):
            x_BTD = block(x_BTD, tokens, memory)
        normed: Tensor = self.norm(x_BTD)
        return normed


def _attention(settings: MambaSettings, context: BuildContext) -> AttentionBlock:
    node = settings.attention
    return AttentionBlock(context.build(node.kind, node.settings))
