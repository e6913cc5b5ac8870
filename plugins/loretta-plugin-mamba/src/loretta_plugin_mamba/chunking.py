"""How many tokens are computed as one piece: a constant rule, never a timing, so that a run repeats."""

from __future__ import annotations

from torch import Tensor

CHUNK = 64
"""Of Mamba-2. On a CPU within a tenth of the best at widths 128 to 512 and rows of 64 to 1024 tokens,
where 16 and 256 cost a seventh to a third more: `benchmarks/chunk.py`. Not measured on a GPU."""

PIECE = 64
"""Of Mamba-1 on a device that computes many pieces at once."""


def chunk_of(chunk: int | str) -> int:
    """What `chunk` means for Mamba-2."""
    return CHUNK if isinstance(chunk, str) else chunk


def piece_of(chunk: int | str, x_BTE: Tensor) -> int:
    """What `chunk` means for Mamba-1: on a CPU pieces would only be computed twice."""
    if not isinstance(chunk, str):
        return chunk
    return max(x_BTE.shape[1], 1) if x_BTE.device.type == "cpu" else PIECE
