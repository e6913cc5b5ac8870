"""Probes of optional kernels, called by `loretta plugins doctor` in a process of its own.

H heads, K width of a head, D documents; _T3HK: q, k and v of all tokens.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LENGTHS_D = (5, 11)
_NAMES = ("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k")


def probe_flash_attention() -> str:
    """Run flash-attn 2 forward and backward on the CUDA device; a sentence on what works.

    Raises:
        ImportError: it is absent, or was built for another torch.
        RuntimeError: there is no CUDA device, or the kernel fails or is wrong on it.
    """
    return _probed("flash_attn", "flash-attn")


def probe_flash_attention_3() -> str:
    """As `probe_flash_attention`, of flash-attn 3."""
    return _probed("flash_attn_interface", "flash-attn-3")


def probe_flash_attention_cute() -> str:
    """As `probe_flash_attention`, of the CuTe build."""
    return _probed("flash_attn.cute", "flash-attn-4")


def _probed(module: str, package: str) -> str:
    flash = importlib.import_module(module)  # before torch, which takes seconds to import
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("it needs a CUDA device, and there is none")

    def attend(*tensors: Any, causal: bool) -> Tensor:
        named = dict(zip(_NAMES, tensors[3:], strict=True))
        y = flash.flash_attn_varlen_func(*tensors[:3], **named, causal=causal)
        only: Tensor = y[0] if isinstance(y, tuple) else y
        return only

    require_attention(attend, "cuda")
    device = torch.cuda.get_device_name()
    return f"{package} {metadata.version(package)} works, forward and backward, on {device}"


def require_attention(attend: Callable[..., Tensor], device: str) -> None:
    """Compare a packed causal attention with torch's own over each document alone.

    Args:
        attend: called as flash-attn's `flash_attn_varlen_func`.
        device: where.

    Raises:
        RuntimeError: outputs or gradients differ.
    """
    import torch

    generator = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(sum(_LENGTHS_D), 3, 2, 64, generator=generator, device=device)
    fast_T3HK, slow_T3HK = (drawn.bfloat16().requires_grad_() for _ in range(2))
    ends = torch.tensor(list(accumulate(_LENGTHS_D, initial=0)), device=device, dtype=torch.int32)
    longest = max(_LENGTHS_D)
    y_THK = attend(*fast_T3HK.unbind(1), ends, ends, longest, longest, causal=True)
    each_DHTK = []
    for one_T3HK in torch.split(slow_T3HK, list(_LENGTHS_D)):
        q_HTK, k_HTK, v_HTK = one_T3HK.permute(1, 2, 0, 3)
        each_DHTK.append(
            torch.nn.functional.scaled_dot_product_attention(q_HTK, k_HTK, v_HTK, is_causal=True)
        )
    expected_THK = torch.cat([one_HTK.transpose(0, 1) for one_HTK in each_DHTK])
    (fast_grad,) = torch.autograd.grad(y_THK.float().square().sum(), fast_T3HK)
    (slow_grad,) = torch.autograd.grad(expected_THK.float().square().sum(), slow_T3HK)
    for got, wanted in ((y_THK, expected_THK), (fast_grad, slow_grad)):
        if not torch.allclose(got.float(), wanted.float(), rtol=0.05, atol=0.05):
            raise RuntimeError("its results differ from those of plain attention")
