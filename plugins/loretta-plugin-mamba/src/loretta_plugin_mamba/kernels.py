"""Optional CUDA kernels: mamba-ssm for the scans, causal-conv1d for the convolution.

B rows, T tokens, H heads, P width of a head, N state, E channels, K taps.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from loretta_framework.api import MissingDependencyError, UserError
from loretta_plugin_mamba.convolution import plain_convolve
from loretta_plugin_mamba.selective import selective_scan
from loretta_plugin_mamba.settings import Mamba1Settings, Mamba2Settings
from loretta_plugin_mamba.ssd import ssd
from loretta_plugin_mamba.tokens import Tokens

INSTALL = "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'"
KERNEL_CHUNK = 256
"""Tokens of a chunk inside mamba-ssm; its own default, which changes speed only."""

Scan: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""As `ssd.ssd`, or as `selective.selective_scan`."""

Convolve: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tokens], Tensor]
"""As `convolution.plain_convolve`."""

Note: TypeAlias = Callable[[str, str, str], None]

KEY = "backbone.settings.kernel"


def takes(x: Tensor) -> bool:
    """Whether the compiled kernels can compute with a tensor, told by where it lies."""
    return x.is_cuda


@dataclass(frozen=True, slots=True)
class Kernels:
    """What whole sequences are computed with; steps with a cache always take the plain forms.

    A model moves between devices, so each call looks where its tensor lies.

    Attributes:
        plain: the recurrence in plain torch.
        scan: the recurrence on CUDA tensors; None: the plain one there too.
        packs: whether `scan` keeps the documents of a packed row apart.
        convolve: the short convolution with its activation, as `scan`.
        asked: the recipe names mamba-ssm, so training takes it or fails.
        missing: why mamba-ssm cannot be imported, where it is asked for.
    """

    plain: Scan
    scan: Scan | None = None
    packs: bool = True
    convolve: Convolve | None = None
    asked: bool = False
    missing: str = ""

    def scan_for(self, x: Tensor, training: bool, packed: bool) -> Scan:
        """The recurrence for such an input.

        Raises:
            MissingDependencyError: a model is trained that asks for mamba-ssm, which is not there.
            UserError: likewise, on another device than a CUDA one, or with packed rows that the
                kernel cannot compute.
        """
        fits = self.packs or not packed
        if self.asked and training:
            self._require(x, fits)
        return self.scan if self.scan and fits and takes(x) else self.plain

    def convolve_for(self, x_BTE: Tensor) -> Convolve:
        """The convolution for such an input."""
        return self.convolve if self.convolve and takes(x_BTE) else plain_convolve

    def _require(self, x: Tensor, fits: bool) -> None:
        if self.scan is None:
            raise MissingDependencyError(
                f"kernel 'mamba_ssm' needs mamba-ssm, which cannot be imported: {self.missing}",
                where=KEY,
                fix=f"{INSTALL}, or use kernel: auto",
            )
        if not takes(x):
            raise UserError(
                f"kernel 'mamba_ssm' trains on a CUDA device, but the model lies on {x.device}",
                where=KEY,
                fix="use kernel: auto, which takes plain torch here",
            )
        if not fits:
            raise UserError(
                "kernel 'mamba_ssm' must be given one document a row, but the rows are packed",
                where=KEY,
                fix="use train.layout: padded, or kernel: auto, which takes plain torch here",
            )


PLAIN_1, PLAIN_2 = Kernels(selective_scan), Kernels(ssd)
"""Plain torch everywhere: of Mamba-1 and of Mamba-2."""


def choose_kernels(settings: Mamba1Settings | Mamba2Settings, note: Note) -> Kernels:
    """The kernels that the settings ask for, or that are there; each choice is noted with its reason.

    A run that was trained with kernels is used on any machine, so what is absent is no error here.
    """
    first = isinstance(settings, Mamba1Settings)
    plain, load = (selective_scan, load_selective) if first else (ssd, load_scan)
    if settings.kernel == "reference":
        note(KEY, "reference", "asked for in the recipe")
        return Kernels(plain)
    asked, missing = settings.kernel == "mamba_ssm", ""
    if asked:
        scan, missing = _asked_scan(load)
        why = f"; it cannot train here: {missing}" if missing else ""
        note(KEY, "mamba_ssm", f"asked for in the recipe{why}")
    else:
        scan, why = _found_scan(load)
        limit = "; packed rows are computed in plain torch" if first and scan else ""
        note(KEY, "mamba_ssm" if scan else "reference", why + limit)
    channels = settings.inner if first else settings.inner + 2 * settings.state
    convolution, why = _found_convolution(channels, settings.conv)
    note("backbone.convolution", "causal_conv1d" if convolution else "torch", why)
    return Kernels(plain, scan, not first, convolution, asked, missing)


def _asked_scan(load: Callable[[], Scan]) -> tuple[Scan | None, str]:
    try:
        return load(), ""
    except (ImportError, OSError, RuntimeError) as error:
        return None, str(error)


def _found_scan(load: Callable[[], Scan]) -> tuple[Scan | None, str]:
    if not torch.cuda.is_available():
        return None, "mamba-ssm needs a CUDA device, and there is none"
    try:
        return load(), "mamba-ssm is installed, for tensors on the CUDA device"
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"mamba-ssm cannot be imported ({error}); to have it: {INSTALL}"


def _found_convolution(channels: int, taps: int) -> tuple[Convolve | None, str]:
    if not torch.cuda.is_available():
        return None, "causal-conv1d needs a CUDA device, and there is none"
    if not 2 <= taps <= 4 or channels % 8:
        text = f"takes 2 to 4 taps and multiples of 8 channels, not {taps} and {channels}"
        return None, f"causal-conv1d {text}"
    try:
        return load_convolution(), "causal-conv1d is installed, for tensors on the CUDA device"
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"causal-conv1d cannot be imported ({error}); to have it: {INSTALL}"


def load_scan() -> Scan:
    """mamba-ssm's scan of Mamba-2 in the place of `ssd.ssd`.

    Raises:
        ImportError, OSError, RuntimeError: it is absent, or was built for another torch.
    """
    module = importlib.import_module("mamba_ssm.ops.triton.ssd_combined")
    return partial(_kernel_scan, module.mamba_chunk_scan_combined)


def load_selective() -> Scan:
    """mamba-ssm's scan of Mamba-1 in the place of `selective.selective_scan`; raises as `load_scan`."""
    module = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    return partial(_kernel_selective, module.selective_scan_fn)


def load_convolution() -> Convolve:
    """causal-conv1d in the place of `convolution.plain_convolve`; raises as `load_scan`."""
    module = importlib.import_module("causal_conv1d")
    return partial(_kernel_convolve, module.causal_conv1d_fn)


def _kernel_scan(
    combined: Any,
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_H: Tensor,
    segments_BT: Tensor,
    state_BNHP: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Its chunk is its own."""
    y_BTHP, last_BHPN = combined(
        x_BTHP.contiguous(),
        dt_BTH,
        a_H,
        b_BTN[:, :, None].contiguous(),
        c_BTN[:, :, None].contiguous(),
        KERNEL_CHUNK,
        D=skip_H,
        initial_states=state_BNHP.permute(0, 2, 3, 1).contiguous(),
        seq_idx=segments_BT.to(torch.int32),
        return_final_states=True,
    )
    return y_BTHP.float(), last_BHPN.float().permute(0, 3, 1, 2)


def _kernel_selective(
    selective: Any,
    x_BTE: Tensor,
    dt_BTE: Tensor,
    a_EN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    skip_E: Tensor,
    starts_BT: Tensor,
    state_BNE: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """For whole rows of one document, from the state 0: the kernel knows no other beginning.

    Nor can one be had from a large step size, which would forget the past, but also enter the
    token with that size.
    """
    u, delta, b, c = (
        part.to(x_BTE.dtype).transpose(1, 2).contiguous() for part in (x_BTE, dt_BTE, b_BTN, c_BTN)
    )
    y_BET, last_BEN = selective(u, delta, a_EN, b, c, D=skip_E, return_last_state=True)
    return y_BET.transpose(1, 2).float(), last_BEN.float().transpose(1, 2)


def _kernel_convolve(
    function: Any, x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, tokens: Tokens
) -> Tensor:
    """Channels must lie side by side in memory."""
    out_BET: Tensor = function(
        x_BTE.contiguous().transpose(1, 2),
        weight_EK,
        bias_E,
        seq_idx=tokens.segments_BT.to(torch.int32),
        activation="silu",
    )
    return out_BET.transpose(1, 2)
