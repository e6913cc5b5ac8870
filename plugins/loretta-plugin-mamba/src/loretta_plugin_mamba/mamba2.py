"""Mamba-2 (Dao and Gu, 2024, arXiv 2405.21060) as a backbone.

B rows, T tokens, D width, E channels of the convolution, K its taps, H heads, P width of a head,
N state, L blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import PADDING, BuildContext, RMSNorm, SequenceLayout
from loretta_plugin_mamba.convolution import convolve, last_inputs
from loretta_plugin_mamba.kernels import Kernels, choose_kernels
from loretta_plugin_mamba.settings import Mamba2Settings
from loretta_plugin_mamba.ssd import ssd

DT_RANGE = (1e-3, 1e-1)
"""Step sizes at the start lie between these, evenly on a log scale."""

A_RANGE = (1.0, 16.0)
"""Rates of decay at the start."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What all blocks need to know of a layout.

    Attributes:
        layout: where the tokens belong.
        real_BT: bool, False at padding.
        segments_BT: int64, documents of each row, counted from 1; 0 is one that an earlier call
            began.
    """

    layout: SequenceLayout
    real_BT: Tensor
    segments_BT: Tensor

    @classmethod
    def of(cls, layout: SequenceLayout) -> Tokens:
        """Read a layout."""
        real_BT = layout.documents_BT != PADDING
        starts_BT = (layout.positions_BT == 0) & real_BT
        return cls(layout, real_BT, starts_BT.cumsum(1))


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
        low, high = (math.log(edge) for edge in DT_RANGE)
        dt_H = torch.empty(heads, dtype=torch.float32).uniform_(low, high).exp()
        self.dt_bias = nn.Parameter(dt_H + torch.log(-torch.expm1(-dt_H)))  # softplus gives dt
        self.D = nn.Parameter(torch.ones(heads, dtype=torch.float32))
        self.norm = RMSNorm(inner)
        self.outward = nn.Linear(inner, settings.width, bias=False)
        nn.init.normal_(self.inward.weight, std=settings.width**-0.5)
        nn.init.uniform_(self.conv_weight, -(settings.conv**-0.5), settings.conv**-0.5)
        nn.init.normal_(self.outward.weight, std=(inner * settings.depth) ** -0.5)

    def forward(
        self, x_BTD: Tensor, tokens: Tokens, conv_BKE: Tensor | None, state_BHPN: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Outputs (B, T, D) with the convolution's last inputs and the state after the last token.

        Without `conv_BKE` and `state_BHPN` every document starts here, and no inputs come back.

        Raises:
            MissingDependencyError, UserError: it is trained with kernels that are not there.
        """
        settings = self.settings
        sizes = [settings.inner, self.channels, settings.heads]
        gate, mixed_BTE, dt = torch.split(self.inward(x_BTD), sizes, dim=-1)
        if conv_BKE is None:
            convolve_whole = self.kernels.convolve_for(mixed_BTE)
            convolved_BTE = convolve_whole(mixed_BTE, self.conv_weight, self.conv_bias, tokens)
        else:
            window_BTE = torch.cat([conv_BKE.to(mixed_BTE.dtype), mixed_BTE], dim=1)
            convolved_BTE = functional.silu(
                convolve(window_BTE, self.conv_weight, self.conv_bias, tokens.layout.positions_BT)
            )
            conv_BKE = last_inputs(window_BTE, settings.conv, tokens.real_BT.sum(1))
        heads = (settings.heads, settings.head_dim)
        sizes = [settings.inner, settings.state, settings.state]
        x_BTE, b_BTN, c_BTN = torch.split(convolved_BTE, sizes, dim=-1)
        x_BTHP = torch.unflatten(x_BTE, -1, heads)
        dt_BTH = functional.softplus(dt.float() + self.dt_bias.float()) * tokens.real_BT[..., None]
        a_H = -self.A_log.float().exp()
        scan = ssd
        if state_BHPN is None:
            scan = self.kernels.scan_for(x_BTHP, self.training)
            state_BHPN = dt_BTH.new_zeros(len(x_BTD), *heads, settings.state)
        y_BTHP, state_BHPN = scan(
            x_BTHP, dt_BTH, a_H, b_BTN, c_BTN, tokens.segments_BT, state_BHPN, settings.chunk
        )
        y_BTHP = y_BTHP + self.D.float()[:, None] * x_BTHP
        gated_BTE = y_BTHP.flatten(2) * functional.silu(gate.float())
        return self.outward(self.norm(gated_BTE).to(x_BTD.dtype)), conv_BKE, state_BHPN


class Block(nn.Module):
    """x + mixer(norm(x))."""

    def __init__(self, settings: Mamba2Settings, kernels: Kernels) -> None:
        super().__init__()
        self.norm = RMSNorm(settings.width)
        self.mixer = Mixer(settings, kernels)

    def forward(
        self,
        x_BTD: Tensor,
        tokens: Tokens,
        conv_BKE: Tensor | None = None,
        state_BHPN: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """As `Mixer.forward`."""
        y_BTD, conv_BKE, state_BHPN = self.mixer(self.norm(x_BTD), tokens, conv_BKE, state_BHPN)
        return x_BTD + y_BTD, conv_BKE, state_BHPN


class Mamba2(nn.Module):
    """A `loretta_framework.api.Backbone`."""

    def __init__(self, settings: Mamba2Settings, kernels: Kernels) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.blocks = nn.ModuleList(Block(settings, kernels) for _ in range(settings.depth))
        self.norm = RMSNorm(settings.width)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        tokens = Tokens.of(layout)
        for block in self.blocks:
            x_BTD, _, _ = block(x_BTD, tokens)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def new_cache(self, batch: int, max_tokens: int) -> Mamba2Cache:
        """An empty cache; its size does not depend on `max_tokens`."""
        settings, device = self.settings, self.norm.weight.device
        channels = settings.inner + 2 * settings.state
        conv = (settings.depth, batch, settings.conv - 1, channels)
        state = (settings.depth, batch, settings.heads, settings.head_dim, settings.state)
        return Mamba2Cache(torch.zeros(conv, device=device), torch.zeros(state, device=device))

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: Mamba2Cache) -> Tensor:
        """Append T tokens a row and return their outputs (B, T, D)."""
        tokens = Tokens.of(layout)
        for number, block in enumerate(self.blocks):
            conv_BKE, state_BHPN = cache.conv_LBKE[number], cache.state_LBHPN[number]
            x_BTD, conv_BKE, state_BHPN = block(x_BTD, tokens, conv_BKE, state_BHPN)
            cache.conv_LBKE[number] = conv_BKE
            cache.state_LBHPN[number] = state_BHPN
        normed: Tensor = self.norm(x_BTD)
        return normed


class Mamba2Cache:
    """The convolutions' last inputs, float32 (L, B, K - 1, E), and states, float32 (L, B, H, P, N)."""

    def __init__(self, conv_LBKE: Tensor, state_LBHPN: Tensor) -> None:
        self.conv_LBKE, self.state_LBHPN = conv_LBKE, state_LBHPN

    def select(self, rows: Tensor) -> Mamba2Cache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish."""
        return Mamba2Cache(self.conv_LBKE[:, rows], self.state_LBHPN[:, rows])


def build_mamba2(settings: Mamba2Settings, context: BuildContext) -> Mamba2:
    """Factory of `mamba.mamba2`; notes which kernels it took and why."""
    return Mamba2(settings, choose_kernels(settings, context.note))
