"""What kernels for a GPU ask of their inputs. K width of a head."""

from __future__ import annotations

import torch
from torch import Tensor

from loretta_framework.api.errors import UserError
from loretta_framework.backbones.forms.choice import WIDEST

WHERE = "backbone.settings.attention"


def on_gpu(x: Tensor) -> bool:
    """Whether kernels for a GPU can compute with a tensor, told by where it lies."""
    return x.is_cuda


def require_fit(name: str, q_BHTK: Tensor, *, half: bool = True, widest: int = WIDEST) -> None:
    """Raise `UserError` unless a kernel can train with such queries.

    Args:
        name: of the kernel, for the message.
        q_BHTK: the queries.
        half: whether it computes in bfloat16 and float16 only.
        widest: most K that it takes.
    """
    what, fix = "", "use attention: auto"
    if not on_gpu(q_BHTK):
        what = f"{name} trains on a CUDA device, but the model lies on {q_BHTK.device}"
    elif q_BHTK.shape[-1] > widest:
        what = f"{name} takes heads of at most {widest}, but width / heads is {q_BHTK.shape[-1]}"
        fix = "raise heads, or use attention: auto"
    elif half and q_BHTK.dtype not in (torch.bfloat16, torch.float16):
        what = f"{name} computes in bfloat16 or float16, but the queries are {q_BHTK.dtype}"
        fix = "set train.precision: bf16, or use attention: auto"
    if what:
        raise UserError(what, where=WHERE, fix=fix)
