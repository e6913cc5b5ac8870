"""Attention by the flash-attn kernels: packed documents without a mask. Training on a GPU only.

B rows, T tokens, N tokens that are no padding, H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from loretta_framework.api.errors import MissingDependencyError, UserError
from loretta_framework.api.layout import PADDING, SequenceLayout

WHERE = "backbone.settings.attention"
INSTALL = "pip install --no-build-isolation 'loretta-framework[flash]'"


WIDEST = 256
"""Widest head that the kernels take."""


def flash_attend(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, layout: SequenceLayout) -> Tensor:
    """Causal attention within each document: (B, H, T, K), 0 at padding.

    Args:
        q_BHTK: bfloat16 or float16, on a CUDA device; K is at most `WIDEST`.
        k_BGTK: likewise; G divides H.
        v_BGTK: likewise.
        layout: which token belongs to which document.

    Raises:
        MissingDependencyError: flash-attn is not installed or cannot be imported.
        UserError: the queries are elsewhere, in another precision, or of wider heads.
    """
    try:
        from flash_attn import flash_attn_varlen_func
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"attention 'flash' needs flash-attn, which cannot be imported: {error}",
            where=WHERE,
            fix=f"{INSTALL}, or use attention: auto",
        ) from error
    _require_fit(q_BHTK)
    held_BT = layout.documents_BT != PADDING
    q_NHK, k_NGK, v_NGK = (x.transpose(1, 2)[held_BT] for x in (q_BHTK, k_BGTK, v_BGTK))
    lengths, longest = layout.cu_lengths, layout.max_length
    y_NHK = flash_attn_varlen_func(
        q_NHK, k_NGK, v_NGK, lengths, lengths, longest, longest, causal=True
    )
    y_BTHK = q_BHTK.new_zeros(*held_BT.shape, *y_NHK.shape[1:])
    return y_BTHK.masked_scatter(held_BT[:, :, None, None], y_NHK).transpose(1, 2)


def takes(x: Tensor) -> bool:
    """Whether the kernels can compute with a tensor, told by where it lies."""
    return x.is_cuda


def _require_fit(q_BHTK: Tensor) -> None:
    """Raise `UserError` unless the kernels can compute with such queries."""
    what, fix = "", "use attention: auto"
    if not takes(q_BHTK):
        what = f"flash-attn trains on a CUDA device, but the model lies on {q_BHTK.device}"
    elif q_BHTK.shape[-1] > WIDEST:
        what = (
            f"flash-attn takes heads of at most {WIDEST}, but width / heads is {q_BHTK.shape[-1]}"
        )
        fix = "raise heads, or use attention: auto"
    elif q_BHTK.dtype not in (torch.bfloat16, torch.float16):
        what = f"flash-attn computes in bfloat16 or float16, but the queries are {q_BHTK.dtype}"
        fix = "set train.precision: bf16, or use attention: auto"
    if what:
        raise UserError(what, where=WHERE, fix=fix)
