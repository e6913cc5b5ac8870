"""What the queries of a call may look at, made once for all blocks, and the call of its form.

B rows, T new tokens, S keys, H query heads, G key/value heads, K width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.masks import causal_mask, document_mask
from loretta_framework.backbones.forms.documents import borders
from loretta_framework.backbones.forms.flash import flash_attend
from loretta_framework.backbones.forms.flex import block_mask, flex_attend
from loretta_framework.backbones.forms.lines import Lines, lines, lines_attend
from loretta_framework.backbones.forms.matmul import matmul_attend
from loretta_framework.backbones.forms.sdpa import sdpa_attend
from loretta_framework.backbones.forms.varlen import varlen_attend
from loretta_framework.backbones.rotary import Rotary


@dataclass(frozen=True, slots=True)
class Sight:
    """What each query may look at.

    Attributes:
        form: how attention is computed: "sdpa", "matmul", "lines", "flex", "varlen" or "flash".
        rotary: cosine and sine of the positions of the new tokens.
        mask: bool, broadcastable to (B, 1, T, S), True where a query may look; None: causal.
        borders: of the documents, int32, for "varlen" and "flash".
        blocks: block mask, for "flex".
        lines: where the tokens go, for "lines".
        window: tokens that a query sees, None: all; in `mask`, `blocks` and `lines` it is counted already.
    """

    form: str
    rotary: Rotary
    mask: Tensor | None = None
    borders: Tensor | None = None
    blocks: Any = None
    lines: Lines | None = None
    window: int | None = None


def look(form: str, rotary: Rotary, layout: SequenceLayout, window: int | None) -> Sight:
    """The sight of all tokens of a batch over their documents."""
    # A window as wide as the longest document hides nothing.
    window = None if window is None or window >= layout.max_length else window
    if form in ("varlen", "flash"):
        return Sight(form, rotary, borders=borders(layout), window=window)
    if form == "lines":
        return Sight(form, rotary, lines=lines(layout, window))
    if form == "flex":
        return Sight(form, rotary, blocks=block_mask(layout, window))
    # Padding stands on the right, so a row of one document needs no mask beyond the causal one.
    mask = None
    if layout.packed:
        mask = document_mask(layout, window)
    elif window is not None:
        tokens = layout.documents_BT.shape[1]
        mask = causal_mask(tokens, window, layout.documents_BT.device)[None, None]
    return Sight(form, rotary, mask)


def attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, sight: Sight) -> Tensor:
    """softmax(q k^T / sqrt(K)) v over what is seen: (B, H, T, K)."""
    if sight.form == "matmul":
        return matmul_attend(q_BHTK, k_BGSK, v_BGSK, sight.mask)
    if sight.form == "lines":
        assert sight.lines is not None
        return lines_attend(q_BHTK, k_BGSK, v_BGSK, sight.lines)
    if sight.form == "flex":
        return flex_attend(q_BHTK, k_BGSK, v_BGSK, sight.blocks)
    if sight.form in ("varlen", "flash"):
        kernel = varlen_attend if sight.form == "varlen" else flash_attend
        assert sight.borders is not None
        return kernel(q_BHTK, k_BGSK, v_BGSK, sight.borders, sight.window)
    return sdpa_attend(q_BHTK, k_BGSK, v_BGSK, sight.mask)
