"""Which form of attention computes a call: a constant rule, so that a run repeats."""

from __future__ import annotations

import torch

GPU_FORMS = ("flex", "varlen", "flash")
"""Forms whose gradient needs a CUDA device; without training they compute as sdpa."""

MATMUL_BELOW = 384
"""Keys below which plain products are the faster form for bfloat16 on a CPU."""

LINES_FROM = 256
"""Tokens a row from which packed documents are moved to lines of their own on a CPU."""

RULE = (
    f"on a CPU matmul for bfloat16 below {MATMUL_BELOW} keys, else lines for packed rows of "
    f"{LINES_FROM} tokens or more; "
    "on CUDA varlen for packed rows in half precision; sdpa otherwise; "
    "flash-attn, flash-attn-3 and flash-attn-4 only where the recipe asks for flash"
)
"""What `auto` does, for people."""

_HALF = (torch.bfloat16, torch.float16)
WIDEST = 256
"""Widest head that flash kernels take."""


def choose(
    asked: str,
    device: torch.device,
    dtype: torch.dtype,
    keys: int,
    *,
    packed: bool,
    training: bool,
    head_width: int,
) -> str:
    """The form for a whole batch: "sdpa", "matmul", "lines", "flex", "varlen" or "flash".

    Args:
        asked: the setting `attention`.
        device: of the queries.
        dtype: of the queries.
        keys: tokens a row.
        packed: whether rows hold several documents.
        training: whether gradients will be asked for.
        head_width: of a query.
    """
    if asked == "lines" and not (packed and device.type == "cpu"):
        return "sdpa"
    if asked != "auto":
        return "sdpa" if asked in GPU_FORMS and not training else asked
    if device.type == "cpu":
        # In float32 products are hardly faster (1 % of a step of 6 x 384 at 256 keys), and they keep
        # all weights for backward.
        if dtype == torch.bfloat16 and keys < MATMUL_BELOW:
            return "matmul"
        return "lines" if packed and keys >= LINES_FROM else "sdpa"
    if device.type == "cuda" and packed and dtype in _HALF:
        fits = head_width <= WIDEST and head_width % 8 == 0
        if fits and torch.cuda.get_device_capability(device) >= (8, 0):
            return "varlen"
    return "sdpa"
