"""Mamba-2 (Dao and Gu, 2024, arXiv 2405.21060): the mixer and the factory.

B rows, T tokens, D width, E channels of the convolution, K its taps, H heads, P width of a head,
N state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import BuildContext, RMSNorm
from loretta_plugin_mamba.chunking import chunk_of
from loretta_plugin_mamba.convolution import convolve_on
from loretta_plugin_mamba.gate import gated_norm
from loretta_plugin_mamba.kernels import Kernels, choose_kernels
from loretta_plugin_mamba.settings import Mamba2Settings
from loretta_plugin_mamba.ssd import ssd, ssd_step
from loretta_plugin_mamba.stack import Memory, Stack
from loretta_plugin_mamba.steps import draw_step_bias
from loretta_plugin_mamba.tokens import Tokens

A_RANGE = (1.0, 16.0)
"""Rates of decay at the start."""


class Mixer(nn.Module):
    """Projection, short convolution, scan, gated norm, projection."""

    def __init__(self, settings: Mamba2Settings, kernels: Kernels) -> None:
        super().__init__()
        self.settings, self.kernels = settings, kernels
        inner, heads = settings.inner, settings.heads
        self.channels = inner + 2 * settings.state
        self.inward = nn.Linear(settings.width, inner + self.channels + heads, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(self.channels, settings.conv))
        self.conv_bias = nn.Parameter(torch.zeros(self.channels))
        rates_H = torch.empty(heads, dtype=torch.float32).uniform_(*A_RANGE)
        self.A_log = nn.Parameter(rates_H.log())
        self.dt_bias = nn.Parameter(draw_step_bias(heads))
        self.D = nn.Parameter(torch.ones(heads, dtype=torch.float32))
        self.norm = RMSNorm(inner)
        self.outward = nn.Linear(inner, settings.width, bias=False)
        nn.init.normal_(self.inward.weight, std=settings.width**-0.5)
        nn.init.uniform_(self.conv_weight, -(settings.conv**-0.5), settings.conv**-0.5)
        nn.init.normal_(self.outward.weight, std=(inner * settings.depth) ** -0.5)

    def memory_shapes(self) -> tuple[tuple[int, int], tuple[int, int, int]]:
        """Of the convolution's last inputs and of the state, for one row: (K - 1, E), (N, H, P)."""
        settings = self.settings
        conv = (settings.conv - 1, self.channels)
        return conv, (settings.state, settings.heads, settings.head_dim)

    def forward(self, x_BTD: Tensor, tokens: Tokens, memory: Memory | None) -> Tensor:
        """(B, T, D) -> (B, T, D). Without a memory every document starts here.

        Raises:
            MissingDependencyError, UserError: it is trained with kernels that are not there.
        """
        settings = self.settings
        sizes = [settings.inner, self.channels, settings.heads]
        gate_BTE, mixed_BTE, dt_BTH = torch.split(self.inward(x_BTD), sizes, dim=-1)
        weights = (self.conv_weight, self.conv_bias)
        if memory is None:
            mixed_BTE = self.kernels.convolve_for(mixed_BTE)(mixed_BTE, *weights, tokens)
        else:
            mixed_BTE = convolve_on(mixed_BTE, *weights, tokens, memory.conv_BKE)
        sizes = [settings.inner, settings.state, settings.state]
        x_BTE, b_BTN, c_BTN = torch.split(mixed_BTE, sizes, dim=-1)
        x_BTHP = torch.unflatten(x_BTE, -1, (settings.heads, settings.head_dim))
        dt_BTH = functional.softplus(dt_BTH.float() + self.dt_bias.float())
        dt_BTH = dt_BTH * tokens.real_BT[..., None]
        rates = (-self.A_log.float().exp(), b_BTN, c_BTN, self.D.float())
        y_BTHP = self._scan(x_BTHP, dt_BTH, rates, tokens, memory)
        gated_BTE = gated_norm(y_BTHP.flatten(2), gate_BTE, self.norm.weight, self.norm.eps)
        y_BTD: Tensor = self.outward(gated_BTE.to(x_BTD.dtype))
        return y_BTD

    def _scan(
        self,
        x_BTHP: Tensor,
        dt_BTH: Tensor,
        rates: tuple[Tensor, Tensor, Tensor, Tensor],
        tokens: Tokens,
        memory: Memory | None,
    ) -> Tensor:
        chunk = chunk_of(self.settings.chunk)
        if memory is None:
            _, state = self.memory_shapes()
            fresh_BNHP = dt_BTH.new_zeros(len(dt_BTH), *state)
            scan = self.kernels.scan_for(x_BTHP, self.training, tokens.layout.packed)
            return scan(x_BTHP, dt_BTH, *rates, tokens.segments_BT, fresh_BNHP, chunk)[0]
        if x_BTHP.shape[1] == 1:
            return ssd_step(x_BTHP, dt_BTH, *rates, tokens.starts_BT, memory.state)
        y_BTHP, last = ssd(x_BTHP, dt_BTH, *rates, tokens.segments_BT, memory.state, chunk)
        memory.state.copy_(last)
        return y_BTHP


def build_mamba2(settings: Mamba2Settings, context: BuildContext) -> Stack:
    """Factory of `mamba.mamba2`; notes which kernels it took and why."""
    kernels = choose_kernels(settings, context.note)
    return Stack(settings, lambda: Mixer(settings, kernels), context)
