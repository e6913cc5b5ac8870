"""Probes of the optional kernels, called by `loretta plugins doctor` in a process of its own.

B rows, T tokens, N documents' ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import metadata

import torch
from torch import Tensor
from torch.nn import functional

from loretta_framework.api import SequenceLayout
from loretta_plugin_mamba.convolution import plain_convolve
from loretta_plugin_mamba.kernels import (
    Convolve,
    Scan,
    load_convolution,
    load_scan,
    load_selective,
)
from loretta_plugin_mamba.selective import selective_scan
from loretta_plugin_mamba.ssd import ssd
from loretta_plugin_mamba.tokens import Tokens


def probe_mamba_ssm() -> str:
    """Run Mamba-2's scan of mamba-ssm forward and backward on the CUDA device; says what works.

    Raises:
        ImportError: it is absent.
        RuntimeError: there is no CUDA device, or the kernel fails or is wrong on it.
    """
    scan = load_scan()
    _require_cuda()
    require_scan(scan, "cuda")
    return _sentence("mamba-ssm")


def probe_selective_scan() -> str:
    """As `probe_mamba_ssm`, for the scan of Mamba-1."""
    scan = load_selective()
    _require_cuda()
    require_selective(scan, "cuda")
    return _sentence("mamba-ssm")


def probe_causal_conv1d() -> str:
    """As `probe_mamba_ssm`, for the convolution of causal-conv1d."""
    convolution = load_convolution()
    _require_cuda()
    require_convolution(convolution, "cuda")
    return _sentence("causal-conv1d")


def require_scan(scan: Scan, device: str) -> None:
    """Compare a scan with `ssd`, forward and gradient, on two documents in a row.

    Raises:
        RuntimeError: outputs or gradients differ.
    """
    draw = _drawing(device)
    shapes = ((1, 48, 2, 64), (1, 48, 2), (2,), (1, 48, 64), (1, 48, 64), (2,))
    segments_BT = (torch.arange(48, device=device) >= 20).long()[None] + 1
    state_BNHP = torch.zeros(1, 64, 2, 64, device=device)

    def run(form: Scan, x: Tensor, dt: Tensor, a: Tensor, *more: Tensor) -> Tensor:
        dt_BTH, a_H = functional.softplus(dt - 3), -functional.softplus(a)  # remembers 20 tokens
        return form(x, dt_BTH, a_H, *more, segments_BT, state_BNHP, 16)[0]

    leaves = [draw(*shape) for shape in shapes]
    _require_alike(partial(run, scan), partial(run, ssd), leaves, "the scan")


def require_selective(scan: Scan, device: str) -> None:
    """Compare a scan with `selective_scan`, on one document; as `require_scan`."""
    draw = _drawing(device)
    shapes = ((1, 48, 64), (1, 48, 64), (64, 16), (1, 48, 16), (1, 48, 16), (64,))
    starts_BT = torch.arange(48, device=device)[None] == 0
    state_BNE = torch.zeros(1, 16, 64, device=device)

    def run(form: Scan, x: Tensor, dt: Tensor, a: Tensor, *more: Tensor) -> Tensor:
        dt_BTE, a_EN = functional.softplus(dt - 3), -functional.softplus(a)
        return form(x, dt_BTE, a_EN, *more, starts_BT, state_BNE, 16)[0]

    leaves = [draw(*shape) for shape in shapes]
    _require_alike(partial(run, scan), partial(run, selective_scan), leaves, "the scan")


def require_convolution(convolution: Convolve, device: str) -> None:
    """Compare a convolution with `plain_convolve`; as `require_scan`."""
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
