"""Hyena (Poli et al., 2023, arXiv 2302.10866) as a backbone.

Of order N, from the streams v, x^1 to x^N, each a projection and a short convolution of the input:
y^0 = v, y^n = x^n (h^n * y^(n-1)), and a projection of y^N. * is a causal convolution.

B rows, T tokens a row, N lines of L tokens (a document each), D width, C channels of all streams, E
features of a distance, O orders, K taps, S slots of a cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import PADDING, Backbone, BuildContext, RMSNorm, SequenceLayout
from loretta_plugin_hyena.cache import HyenaCache, Inputs, Layer, Step, convolve_long, short_window
from loretta_plugin_hyena.documents import Documents
from loretta_plugin_hyena.filters import Filters, distance_features
from loretta_plugin_hyena.kernels import Kernels, choose_kernels
from loretta_plugin_hyena.settings import HyenaSettings
from loretta_plugin_hyena.short import convolve_short


class Mixer(nn.Module):
    """The Hyena operator. Channels stand first, so that time is the last axis without a copy."""

    def __init__(self, settings: HyenaSettings, kernels: Kernels) -> None:
        super().__init__()
        self.kernels, self.order = kernels, settings.order
        width, channels = settings.width, (settings.order + 1) * settings.width
        self.inward = nn.Parameter(torch.empty(channels, width))
        self.short = nn.Parameter(torch.empty(channels, settings.conv))
        self.filters = Filters(settings)
        self.outward = nn.Parameter(torch.empty(width, width))
        nn.init.normal_(self.inward, std=width**-0.5)
        nn.init.normal_(self.short, std=settings.conv**-0.5)
        nn.init.normal_(self.outward, std=(2 * settings.depth * width) ** -0.5)

    def forward(self, x_NLD: Tensor, features_LE: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D), each line by itself, from its beginning.

        Raises:
            MissingDependencyError, UserError: it is trained with a kernel that is not there.
        """
        streams_CNL = convolve_short(self._project(x_NLD), self.short)
        y_DNL, *gates = streams_CNL.chunk(self.order + 1)
        convolve = self.kernels.convolve_for(y_DNL, self.training)
        filters_ODL = self.filters(features_LE).chunk(self.order)
        for gate_DNL, filter_DL in zip(gates, filters_ODL, strict=True):
            y_DNL = gate_DNL * convolve(y_DNL, filter_DL).to(gate_DNL.dtype)
        return self._merge(y_DNL, x_NLD.dtype)

    def extend(self, x_BTD: Tensor, inputs: Inputs, step: Step) -> Tensor:
        """As `forward`, after what the cache holds. x is 0 at padding."""
        window_CBW = short_window(inputs, self._project(x_BTD), step)
        streams_CBT = convolve_short(window_CBW, self.short)[..., self.short.shape[1] - 1 :]
        y_DBT, *gates = streams_CBT.float().chunk(self.order + 1)
        for order, gate_DBT in enumerate(gates):
            y_DBT = gate_DBT * convolve_long(inputs, order, y_DBT * step.real_BT, step)
        return self._merge(y_DBT, x_BTD.dtype)

    def _project(self, x_NLD: Tensor) -> Tensor:
        lines, tokens, _ = x_NLD.shape
        return (self.inward @ x_NLD.flatten(0, 1).t()).view(len(self.inward), lines, tokens)

    def _merge(self, y_DNL: Tensor, dtype: torch.dtype) -> Tensor:
        lines, tokens = y_DNL.shape[1:]
        return (y_DNL.flatten(1).t().to(dtype) @ self.outward.t()).view(
            lines, tokens, len(self.outward)
        )


class SwiGLU(nn.Module):
    """silu(x W_gate) * (x W_up) W_down (Shazeer, 2020)."""

    def __init__(self, settings: HyenaSettings) -> None:
        super().__init__()
        width, hidden = settings.width, settings.hidden_width
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.normal_(self.gate_up.weight, std=width**-0.5)
        nn.init.normal_(self.down.weight, std=(2 * settings.depth * hidden) ** -0.5)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        gate, up = self.gate_up(x_BTD).chunk(2, dim=-1)
        down: Tensor = self.down(functional.silu(gate) * up)
        return down


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, settings: HyenaSettings, kernels: Kernels) -> None:
        super().__init__()
        self.norm = RMSNorm(settings.width)
        self.mixer = Mixer(settings, kernels)
        self.mlp_norm = RMSNorm(settings.width)
        self.mlp = SwiGLU(settings)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x_BTD: Tensor, documents: Documents, features_LE: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        y_NLD = self.mixer(documents.lined(self.norm(x_BTD)), features_LE)
        return self._add_mlp(x_BTD + self.dropout(documents.in_rows(y_NLD)))

    def extend(self, x_BTD: Tensor, inputs: Inputs, step: Step) -> Tensor:
        """As `forward`, after what the cache holds."""
        clean_BTD = self.norm(x_BTD) * step.real_BT[..., None]
        return self._add_mlp(x_BTD + self.dropout(self.mixer.extend(clean_BTD, inputs, step)))

    def new_inputs(self, batch: int, features_SE: Tensor, settings: HyenaSettings) -> Inputs:
        """An empty cache with its filters for all distances."""
        order, width, slots = settings.order, settings.width, len(features_SE)
        with torch.no_grad():
            reversed_OCS = self.mixer.filters(features_SE).flip(1).view(order, width, slots)
        short_CBK = features_SE.new_zeros((order + 1) * width, batch, settings.conv - 1)
        return Inputs(short_CBK, features_SE.new_zeros(order, width, batch, slots), reversed_OCS)

    def _add_mlp(self, x_BTD: Tensor) -> Tensor:
        changed_BTD: Tensor = x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))
        return changed_BTD


class Hyena(nn.Module):
    """A `loretta_framework.api.Backbone`.

    Args:
        settings: its size and form.
        kernels: what whole sequences are convolved with.
        context: builds the attention layers, where the settings ask for them.
    """

    def __init__(
        self, settings: HyenaSettings, kernels: Kernels, context: BuildContext | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.blocks = nn.ModuleList(
            _attention(settings, context)
            if settings.is_attention(layer)
            else Block(settings, kernels)
            for layer in range(settings.depth)
        )
        self.norm = RMSNorm(settings.width)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        documents = Documents.of(layout)
        features_LE = distance_features(documents.tokens, self.settings, x_BTD.device)
        for block in self.blocks:
            where = (documents, features_LE) if isinstance(block, Block) else (layout,)
            x_BTD = block(x_BTD, *where)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def new_cache(self, batch: int, max_tokens: int) -> HyenaCache:
        """An empty cache for `batch` rows and up to `max_tokens` slots."""
        device = self.norm.weight.device
        features_SE = distance_features(max_tokens, self.settings, device)
        layers: list[Layer] = [
            block.new_inputs(batch, features_SE, self.settings)
            if isinstance(block, Block)
            else _backbone(block).new_cache(batch, max_tokens)
            for block in self.blocks
        ]
        return HyenaCache(layers, max_tokens)

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: HyenaCache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D).

        Raises:
            ValueError: the cache has no room left.
        """
        step = Step.of(cache.reserve(x_BTD.shape[1]), layout.documents_BT != PADDING)
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            if isinstance(layer, Inputs):
                assert isinstance(block, Block)
                x_BTD = block.extend(x_BTD, layer, step)
            else:
                x_BTD = _backbone(block).extend(x_BTD, layout, layer)
        normed: Tensor = self.norm(x_BTD)
        return normed


def _backbone(block: nn.Module) -> Backbone:
    assert isinstance(block, Backbone)
    return block


def _attention(settings: HyenaSettings, context: BuildContext | None) -> Any:
    assert context is not None, "attention layers are built by the framework"
    node = settings.attention
    return context.build(
        node.kind, {**node.settings, "width": settings.width, "depth": 1, "final_norm": False}
    )


def build_hyena(settings: HyenaSettings, context: BuildContext) -> Hyena:
    """Factory of `hyena.hyena`; notes which kernel it took and why."""
    return Hyena(settings, choose_kernels(settings, context.note), context)
