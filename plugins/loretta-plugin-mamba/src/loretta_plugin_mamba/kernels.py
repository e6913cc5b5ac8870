"""Optional CUDA kernels of Mamba-2: mamba-ssm for the scan, causal-conv1d for the convolution.

B rows, T tokens, H heads, P width of a head, N state, E channels, K taps.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from loretta_framework.api import MissingDependencyError, UserError
from loretta_plugin_mamba.convolution import convolve
from loretta_plugin_mamba.settings import Mamba2Settings
from loretta_plugin_mamba.ssd import ssd

if TYPE_CHECKING:
    from loretta_plugin_mamba.mamba2 import Tokens

INSTALL = "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'"
KERNEL_CHUNK = 256
"""Tokens of a chunk inside mamba-ssm; its own default, which changes speed only."""

Scan: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""As `ssd.ssd`."""

Convolve: TypeAlias = "Callable[[Tensor, Tensor, Tensor, Tokens], Tensor]"
"""(inputs (B, T, E), weight (E, K), bias (E,), tokens) -> silu of the convolution (B, T, E)."""

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
        scan: the recurrence on CUDA tensors; None: in plain torch.
        convolve: the short convolution with its activation, likewise.
        asked: the recipe names mamba-ssm, so training takes it or fails.
        missing: why mamba-ssm cannot be imported, where it is asked for.
    """

    scan: Scan | None = None
    convolve: Convolve | None = None
    asked: bool = False
    missing: str = ""

    def scan_for(self, x_BTHP: Tensor, training: bool) -> Scan:
        """The recurrence for such an input.

        Raises:
            MissingDependencyError: a model is trained that asks for mamba-ssm, which is not there.
            UserError: likewise, on another device than a CUDA one.
        """
        if self.asked and training:
            self._require(x_BTHP)
        return self.scan if self.scan and takes(x_BTHP) else ssd

    def convolve_for(self, x_BTE: Tensor) -> Convolve:
        """The convolution for such an input."""
        return self.convolve if self.convolve and takes(x_BTE) else plain_convolve

    def _require(self, x: Tensor) -> None:
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


def plain_convolve(x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, tokens: Tokens) -> Tensor:
    """In plain torch; see `Convolve`."""
    window_BTE = functional.pad(x_BTE, (0, 0, weight_EK.shape[1] - 1, 0))
    return functional.silu(convolve(window_BTE, weight_EK, bias_E, tokens.layout.positions_BT))


PLAIN = Kernels()


def choose_kernels(settings: Mamba2Settings, note: Note) -> Kernels:
    """The kernels that the settings ask for, or that are there; each choice is noted with its reason.

    A run that was trained with kernels is used on any machine, so what is absent is no error here.
    """
    if settings.kernel == "reference":
        note(KEY, "reference", "asked for in the recipe")
        return PLAIN
    asked, missing = settings.kernel == "mamba_ssm", ""
    if asked:
        scan, missing = _asked_scan()
        why = f"; it cannot train here: {missing}" if missing else ""
        note(KEY, "mamba_ssm", f"asked for in the recipe{why}")
    else:
        scan, why = _found_scan()
        note(KEY, "mamba_ssm" if scan else "reference", why)
    convolution, why = _found_convolution(settings)
    note("backbone.convolution", "causal_conv1d" if convolution else "torch", why)
    return Kernels(scan, convolution, asked, missing)


def _asked_scan() -> tuple[Scan | None, str]:
    try:
        return _import_scan(), ""
    except (ImportError, OSError, RuntimeError) as error:
        return None, str(error)


def _found_scan() -> tuple[Scan | None, str]:
    if not torch.cuda.is_available():
        return None, "mamba-ssm needs a CUDA device, and there is none"
    try:
        return _import_scan(), "mamba-ssm is installed, for tensors on the CUDA device"
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"mamba-ssm cannot be imported ({error}); to have it: {INSTALL}"


def _found_convolution(settings: Mamba2Settings) -> tuple[Convolve | None, str]:
    channels = settings.inner + 2 * settings.state
    if not torch.cuda.is_available():
        return None, "causal-conv1d needs a CUDA device, and there is none"
    if not 2 <= settings.conv <= 4 or channels % 8:
        text = f"takes 2 to 4 taps and multiples of 8 channels, not {settings.conv} and {channels}"
        return None, f"causal-conv1d {text}"
    try:
        return _import_convolution(), "causal-conv1d is installed, for tensors on the CUDA device"
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"causal-conv1d cannot be imported ({error}); to have it: {INSTALL}"


def _import_scan() -> Scan:
    module = importlib.import_module("mamba_ssm.ops.triton.ssd_combined")
    return partial(_kernel_scan, module.mamba_chunk_scan_combined)


def _import_convolution() -> Convolve:
    module = importlib.import_module("causal_conv1d")
    return partial(_kernel_convolve, module.causal_conv1d_fn)


def _kernel_scan(
    combined: Any,
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    segments_BT: Tensor,
    state_BHPN: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """mamba-ssm in the place of `ssd.ssd`; its chunk is its own."""
    y_BTHP, last_BHPN = combined(
        x_BTHP.contiguous(),
        dt_BTH,
        a_H,
        b_BTN[:, :, None].contiguous(),
        c_BTN[:, :, None].contiguous(),
        KERNEL_CHUNK,
        initial_states=state_BHPN,
        seq_idx=segments_BT.to(torch.int32),
        return_final_states=True,
    )
    return y_BTHP.float(), last_BHPN.float()


def _kernel_convolve(
    function: Any, x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, tokens: Tokens
) -> Tensor:
    """causal-conv1d in the place of `plain_convolve`; channels must lie side by side in memory."""
    out_BET: Tensor = function(
        x_BTE.contiguous().transpose(1, 2),
        weight_EK,
        bias_E,
        seq_idx=tokens.segments_BT.to(torch.int32),
        activation="silu",
    )
    return out_BET.transpose(1, 2)


def probe_mamba_ssm() -> str:
    """Run the scan of mamba-ssm forward and backward on the CUDA device; a sentence on what works.

    Raises:
        ImportError: it is absent.
        RuntimeError: there is no CUDA device, or the kernel fails or is wrong on it.
    """
    scan = _import_scan()
    _require_cuda()
    require_scan(scan, "cuda")
    return _sentence("mamba-ssm")


def probe_causal_conv1d() -> str:
    """As `probe_mamba_ssm`, for the convolution of causal-conv1d."""
    convolution = _import_convolution()
    _require_cuda()
    require_convolution(convolution, "cuda")
    return _sentence("causal-conv1d")


def require_scan(scan: Scan, device: str) -> None:
    """Compare a scan with `ssd`, forward and gradient, on two documents in a row.

    Raises:
        RuntimeError: outputs or gradients differ.
    """
    draw = _drawing(device)
    leaves = [draw(1, 48, 2, 64), draw(1, 48, 2), draw(2), draw(1, 48, 64), draw(1, 48, 64)]
    segments_BT = (torch.arange(48, device=device) >= 20).long()[None] + 1
    state_BHPN = torch.zeros(1, 2, 64, 64, device=device)

    def run(form: Scan, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        dt_BTH, a_H = functional.softplus(dt - 3), -functional.softplus(a)  # remembers 20 tokens
        return form(x, dt_BTH, a_H, b, c, segments_BT, state_BHPN, 16)[0]

    _require_alike(partial(run, scan), partial(run, ssd), leaves, "the scan")


def require_convolution(convolution: Convolve, device: str) -> None:
    """Compare a convolution with `plain_convolve`; as `require_scan`."""
    from loretta_framework.api import SequenceLayout
    from loretta_plugin_mamba.mamba2 import Tokens

    draw = _drawing(device)
    step_T = torch.arange(32, device=device)
    documents_BT, positions_BT = (step_T >= 10).long()[None], (step_T - 10 * (step_T >= 10))[None]
    ends = torch.tensor([0, 10, 32], dtype=torch.int32, device=device)
    tokens = Tokens.of(SequenceLayout(documents_BT, positions_BT, ends, 22, packed=True))
    leaves = [draw(1, 32, 16), draw(16, 4), draw(16)]

    def run(form: Convolve, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return form(x, weight, bias, tokens)

    _require_alike(partial(run, convolution), partial(run, plain_convolve), leaves, "convolution")


def _drawing(device: str) -> Callable[..., Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    return partial(torch.randn, generator=generator, device=device)


def _require_alike(
    fast: Callable[..., Tensor], slow: Callable[..., Tensor], leaves: list[Tensor], what: str
) -> None:
    results = []
    for form in (fast, slow):
        given = [leaf.clone().requires_grad_() for leaf in leaves]
        out = form(*given)
        results.append([out, *torch.autograd.grad(out.square().mean(), given)])
    for got, wanted in zip(*results, strict=True):
        scale = float(wanted.detach().abs().max())
        # 2 %: matrix units multiply float32 with 10 bits of mantissa.
        if not float((got - wanted).detach().abs().max()) <= 0.02 * scale:  # nor NaN
            raise RuntimeError(f"{what}: its results differ from those of plain torch")


def _require_cuda() -> None:
    if not torch.cuda.is_available():
        raise RuntimeError("it needs a CUDA device, and there is none")


def _sentence(package: str) -> str:
    device = torch.cuda.get_device_name()
    return f"{package} {metadata.version(package)} works, forward and backward, on {device}"
