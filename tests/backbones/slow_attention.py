"""The slow reference of attention, and stand-ins for kernels that need a GPU.

B rows, T tokens, H query heads, G key/value heads, K width of a head. Each stand-in has the
signature of what it stands for and computes the reference, so what is tested with it is all that
lies around a kernel: which tokens it is given, and where its outputs go.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.backbones.forms import fit, flash, flex

PACKED = ([3, 2, 6], [9, 1])
SEPARATE = ([7], [11], [1])


def layout(rows: tuple[list[int], ...]) -> SequenceLayout:
    """Rows of documents of these lengths, padded to the longest row and one more."""
    tokens = max(sum(lengths) for lengths in rows) + 1
    documents, positions, lengths_N = [], [], []
    for lengths in rows:
        ids = [len(lengths_N) + i for i, length in enumerate(lengths) for _ in range(length)]
        rest = tokens - len(ids)
        documents.append(ids + [PADDING] * rest)
        positions.append([p for length in lengths for p in range(length)] + [0] * rest)
        lengths_N += lengths
    ends = torch.tensor([0, *lengths_N]).cumsum(0).to(torch.int32)
    return SequenceLayout(
        torch.tensor(documents),
        torch.tensor(positions),
        ends,
        max(lengths_N),
        packed=max(len(lengths) for lengths in rows) > 1,
    )


def one(q_HTK: Tensor, k_GTK: Tensor, v_GTK: Tensor, window: int | None) -> Tensor:
    """One document, query by query, in float64: (H, T, K)."""
    heads, tokens, width = q_HTK.shape
    share = heads // len(k_GTK)
    rows = []
    for head in range(heads):
        q, k, v = (x.double() for x in (q_HTK[head], k_GTK[head // share], v_GTK[head // share]))
        for i in range(tokens):
            seen = slice(0 if window is None else max(0, i + 1 - window), i + 1)
            rows.append(torch.softmax(k[seen] @ q[i] / width**0.5, 0) @ v[seen])
    return torch.stack(rows).view(heads, tokens, width)


def reference(q: Tensor, k: Tensor, v: Tensor, here: SequenceLayout, window: int | None) -> Tensor:
    """Every document alone: (B, H, T, K), 0 at padding."""
    y_BHTK = torch.zeros(q.shape, dtype=torch.float64)
    for row, documents_T in enumerate(here.documents_BT):
        for document in set(documents_T.tolist()) - {PADDING}:
            at = documents_T == document
            y_BHTK[row, :, at] = one(q[row, :, at], k[row, :, at], v[row, :, at], window)
    return y_BHTK


def packed(
    q: Tensor, k: Tensor, v: Tensor, ends: Tensor, ends_k: Tensor, most: int, window: Any
) -> Tensor:
    """What the packed kernels compute, over (tokens, heads, width)."""
    assert ends.dtype == torch.int32
    assert torch.equal(ends, ends_k)
    assert (int(ends[0]), int(ends[-1])) == (0, len(q))
    assert int((ends[1:] - ends[:-1]).max()) <= most
    left, right = window
    assert right in (0, None, -1)
    seen = None if left in (None, -1) else left + 1
    parts = [
        one(*(x[a:b].transpose(0, 1) for x in (q, k, v)), seen).transpose(0, 1)
        for a, b in pairwise(ends.tolist())
        if a < b
    ]
    return torch.cat(parts).to(q.dtype)


def varlen_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor | None,
    max_q: int,
    max_k: int,
    *,
    return_aux: object = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    assert cu_seq_k is not None
    assert window_size[1] == 0  # causal
    assert enable_gqa == (query.shape[1] != key.shape[1])
    return packed(query, key, value, cu_seq_q, cu_seq_k, max(max_q, max_k), window_size)


def flash_2(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    assert causal
    return packed(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, window_size)


def flash_3(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    seqused_q: Tensor | None = None,
    seqused_k: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    assert causal
    return packed(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, window_size)


def flash_cute(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen_q: int | None = None,
    max_seqlen_k: int | None = None,
    seqused_q: Tensor | None = None,
    seqused_k: Tensor | None = None,
    page_table: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int | None, int | None] = (None, None),
) -> tuple[Tensor, None]:
    assert causal
    assert cu_seqlens_q is not None
    assert cu_seqlens_k is not None
    assert max_seqlen_q is not None
    assert -1 not in window_size
    return packed(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, window_size), None


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: object = None,
    block_mask: Any = None,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    assert enable_gqa == (query.shape[1] != key.shape[1])
    batch, heads, tokens, width = query.shape
    k, v = (x.double().repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
    at = torch.arange(tokens)
    seen = block_mask.mask_mod(
        torch.arange(batch)[:, None, None], torch.zeros(1), at[:, None], at[None, :]
    )
    scores = (query.double() @ k.mT / width**0.5).masked_fill(~seen[:, None], float("-inf"))
    return (scores.softmax(-1) @ v).to(query.dtype)


FLASH: dict[str, tuple[str, Callable[..., Any], int]] = {
    "flash_attn": ("flash-attn 2", flash_2, 8),
    "flash_attn_interface": ("flash-attn 3", flash_3, 9),
    "flash_attn.cute": ("flash-attn (CuTe)", flash_cute, 10),
}
"""Module -> the build's name, its stand-in, and a capability for which it is chosen."""


def present(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """These builds of flash-attn can be imported, and no other."""
    for module, (_, function, _) in FLASH.items():
        made = ModuleType(module)
        made.flash_attn_varlen_func = function  # type: ignore[attr-defined]
        monkeypatch.setitem(__import__("sys").modules, module, made if module in modules else None)


def stand_in(form: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a stand-in where a form needs a kernel; returns the setting `attention`."""
    monkeypatch.setattr(fit, "on_gpu", lambda x: True)  # a stand-in computes anywhere
    if form in FLASH:
        name, function, capability = FLASH[form]
        present(monkeypatch, form)
        monkeypatch.setattr(flash, "found", lambda: flash.build_for((capability, 0)))
        assert flash.found()[0].name == name
        assert flash.found()[1] is function
        return "flash"
    if form == "varlen":
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    if form == "flex":
        monkeypatch.setattr(flex, "fused", lambda: flex_attention)
    return form
