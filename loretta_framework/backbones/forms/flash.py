"""Attention by the flash-attn kernels: packed documents without a mask. Training on a GPU only.

Read: Dao-AILab/flash-attention, `flash_attn_varlen_func` of
- flash_attn/cute/interface.py (CuTe): (q, k, v, cu_seqlens_q=None, cu_seqlens_k=None,
  max_seqlen_q=None, max_seqlen_k=None, ..., causal=False, window_size=(None, None), ...), returns
  (out, lse); older builds know no max_seqlen_*; capability 9 to 11, heads up to 128;
- hopper/flash_attn_interface.py (3): (q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q,
  max_seqlen_k, seqused_q=None, ..., causal=False, window_size=(-1, -1), ...), returns out, of early
  builds (out, lse); capability 9;
- flash_attn/flash_attn_interface.py (2): the same seven, dropout_p=0.0, softmax_scale=None,
  causal=False, window_size=(-1, -1), ..., returns out; capability 8 and above.
All three see the keys from i - window_size[0] to i + window_size[1].

B rows, T tokens, H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from loretta_framework.api.errors import MissingDependencyError
from loretta_framework.backbones.forms.documents import in_line, in_rows
from loretta_framework.backbones.forms.fit import WHERE, require_fit

INSTALL = "pip install --no-build-isolation 'loretta-framework[flash]'"


@dataclass(frozen=True, slots=True)
class Build:
    """One of the packages that bring the kernels.

    Attributes:
        name: for people.
        module: that holds `flash_attn_varlen_func`.
        capabilities: first and last major compute capability that it was made for.
        widest: most K.
        unlimited: what stands for no window.
    """

    name: str
    module: str
    capabilities: tuple[int, int]
    widest: int
    unlimited: int | None


BUILDS = (
    Build("flash-attn (CuTe)", "flash_attn.cute", (9, 11), 128, None),
    Build("flash-attn 3", "flash_attn_interface", (9, 9), 256, -1),
    Build("flash-attn 2", "flash_attn", (8, 99), 256, -1),
)
"""Newest first."""


def build_for(capability: tuple[int, int]) -> tuple[Build, Callable[..., Any], str]:
    """The newest build that can be imported and fits a device, its function, and why this one.

    Raises:
        MissingDependencyError: there is none; the text names each and what was wrong with it.
    """
    passed: list[str] = []
    for build in BUILDS:
        first, last = build.capabilities
        if not first <= capability[0] <= last:
            passed.append(f"{build.name} is not made for compute capability {capability[0]}")
            continue
        try:
            function = importlib.import_module(build.module).flash_attn_varlen_func
        except (ImportError, OSError, AttributeError) as error:
            passed.append(f"{build.name} cannot be imported: {error}")
            continue
        return build, function, "; ".join((*passed, f"{build.name} can be imported and fits"))
    raise MissingDependencyError(
        f"attention 'flash' needs flash-attn, but {'; '.join(passed)}",
        where=WHERE,
        fix=f"{INSTALL}, or use attention: auto",
    )


def flash_attend(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, borders: Tensor, window: int | None
) -> Tensor:
    """Causal attention within each document: (B, H, T, K). Arguments as `varlen.varlen_attend`.

    Raises:
        MissingDependencyError: no build of flash-attn can be imported and fits the device.
        UserError: the queries are elsewhere, in another precision, or of wider heads.
    """
    build, function, _ = found()
    require_fit("flash-attn", q_BHTK, widest=build.widest)
    longest = q_BHTK.shape[2]
    left = build.unlimited if window is None else window - 1
    y = function(
        in_line(q_BHTK),
        in_line(k_BGTK),
        in_line(v_BGTK),
        cu_seqlens_q=borders,
        cu_seqlens_k=borders,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        causal=True,
        window_size=(left, build.unlimited if window is None else 0),
    )
    return in_rows(y[0] if isinstance(y, tuple) else y, q_BHTK)


@cache
def found() -> tuple[Build, Callable[..., Any], str]:
    """`build_for` the current CUDA device; without one for the oldest device that has kernels."""
    return build_for(torch.cuda.get_device_capability() if torch.cuda.is_available() else (8, 0))
