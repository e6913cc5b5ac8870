"""Mamba-1 (Gu and Dao, 2023, arXiv 2312.00752): the mixer and the factory.

B rows, T tokens, D width, E channels, K taps of the convolution, N state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import BuildContext
from loretta_plugin_mamba.chunking import piece_of
from loretta_plugin_mamba.convolution import convolve_on
from loretta_plugin_mamba.kernels import Kernels, choose_kernels
from loretta_plugin_mamba.selective import selective_scan, selective_step
from loretta_plugin_mamba.settings import Mamba1Settings
from loretta_plugin_mamba.stack import Memory, Stack
from loretta_plugin_mamba.steps import draw_step_bias
from loretta_plugin_mamba.tokens import Tokens


class Mixer(nn.Module):
    """Projection, short convolution, selective scan, gate, projection."""

    def __init__(self, settings: Mamba1Settings, kernels: Kernels) -> None:
        super().__init__()
        self.settings, self.kernels = settings, kernels
        inner, rank = settings.inner, settings.rank
        self.inward = nn.Linear(settings.width, 2 * inner, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(inner, settings.conv))
        self.conv_bias = nn.Parameter(torch.zeros(inner))
        self.select = nn.Linear(inner, rank + 2 * settings.state, bias=False)
        self.steps = nn.Linear(rank, inner, bias=False)
        self.dt_bias = nn.Parameter(draw_step_bias(inner))
        rates_N = torch.arange(1, settings.state + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(rates_N.log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner, dtype=torch.float32))
        self.outward = nn.Linear(inner, settings.width, bias=False)
        nn.init.normal_(self.inward.weight, std=settings.width**-0.5)
        nn.init.uniform_(self.conv_weight, -(settings.conv**-0.5), settings.conv**-0.5)
        nn.init.normal_(self.select.weight, std=inner**-0.5)
        nn.init.uniform_(self.steps.weight, -(rank**-0.5), rank**-0.5)
        nn.init.normal_(self.outward.weight, std=(inner * settings.depth) ** -0.5)

    def memory_shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the convolution's last inputs and of the state, for one row: (K - 1, E), (N, E)."""
        settings = self.settings
        return (settings.conv - 1, settings.inner), (settings.state, settings.inner)

    def forward(self, x_BTD: Tensor, tokens: Tokens, memory: Memory | None) -> Tensor:
        """(B, T, D) -> (B, T, D). Without a memory every document starts here.

        Raises:
            MissingDependencyError, UserError: it is trained with kernels that are not there.
        """
        settings = self.settings
        x_BTE, gate_BTE = self.inward(x_BTD).chunk(2, dim=-1)
        weights = (self.conv_weight, self.conv_bias)
        if memory is None:
            x_BTE = self.kernels.convolve_for(x_BTE)(x_BTE, *weights, tokens)
        else:
            x_BTE = convolve_on(x_BTE, *weights, tokens, memory.conv_BKE)
        sizes = [settings.rank, settings.state, settings.state]
        low_BTR, b_BTN, c_BTN = torch.split(self.select(x_BTE), sizes, dim=-1)
        dt_BTE = functional.softplus(self.steps(low_BTR).float() + self.dt_bias.float())
        dt_BTE = dt_BTE * tokens.real_BT[..., None]
        rates = (-self.A_log.float().exp(), b_BTN, c_BTN, self.D.float())
        y_BTE = self._scan(x_BTE, dt_BTE, rates, tokens, memory)
        gated_BTE = y_BTE * functional.silu(gate_BTE.float())
        y_BTD: Tensor = self.outward(gated_BTE.to(x_BTD.dtype))
        return y_BTD

    def _scan(
        self,
        x_BTE: Tensor,
        dt_BTE: Tensor,
        rates: tuple[Tensor, Tensor, Tensor, Tensor],
        tokens: Tokens,
        memory: Memory | None,
    ) -> Tensor:
        chunk = piece_of(self.settings.chunk, x_BTE)
        if memory is None:
            fresh_BNE = dt_BTE.new_zeros(len(dt_BTE), self.settings.state, self.settings.inner)
            scan = self.kernels.scan_for(x_BTE, self.training, tokens.layout.packed)
            return scan(x_BTE, dt_BTE, *rates, tokens.starts_BT, fresh_BNE, chunk)[0]
        if x_BTE.shape[1] == 1:
            return selective_step(x_BTE, dt_BTE, *rates, tokens.starts_BT, memory.state)
        y_BTE, last = selective_scan(x_BTE, dt_BTE, *rates, tokens.starts_BT, memory.state, chunk)
        memory.state.copy_(last)
        return y_BTE


def build_mamba1(settings: Mamba1Settings, context: BuildContext) -> Stack:
    """Factory of `mamba.mamba1`; notes which kernels it took and why."""
    kernels = choose_kernels(settings, context.note)
    return Stack(settings, lambda: Mixer(settings, kernels), context)
