"""The short causal convolution before the scan, one filter for each channel.

B rows, T tokens, K taps, E channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def convolve(window_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, positions_BT: Tensor) -> Tensor:
    """y_t = bias + sum_k weight[K-1-k] x_{t-k} over the taps inside the token's document: (B, T, E).

    Args:
        window_BTE: the K - 1 inputs before the first token, then those of the T tokens.
        weight_EK: the last tap is the token's own.
        bias_E: one number for each channel.
        positions_BT: place of each token in its document.
    """
    taps, tokens = weight_EK.shape[1], positions_BT.shape[1]
    out_BTE = bias_E + window_BTE[:, taps - 1 :] * weight_EK[:, -1]
    for back in range(1, taps):
        start = taps - 1 - back
        inside_BT1 = (positions_BT >= back)[..., None]
        earlier_BTE = window_BTE[:, start : start + tokens] * inside_BT1
        out_BTE = out_BTE + earlier_BTE * weight_EK[:, start]
    return out_BTE


def last_inputs(window_BTE: Tensor, taps: int, lengths_B: Tensor) -> Tensor:
    """(B, K - 1, E): the inputs before each row's next token; `lengths_B` tokens were real."""
    steps_K = torch.arange(taps - 1, device=window_BTE.device)
    index_BK = lengths_B[:, None] + steps_K
    return window_BTE.gather(1, index_BK[..., None].expand(-1, -1, window_BTE.shape[2]))
