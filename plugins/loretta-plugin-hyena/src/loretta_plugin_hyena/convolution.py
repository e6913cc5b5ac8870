"""The long causal convolution of each channel with its filter: y_t = sum_(s <= t) h_(t-s) v_s.

Two ways, which differ in rounding only. Short lines: a product with the Toeplitz matrix of each
channel. Longer ones: FFTs over at least twice the length, so that nothing wraps around. Both are
written with their gradients: torch's own gradient of a real FFT is a complex one of twice the work.

C channels, N lines, L tokens of a line, F frequencies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

TOEPLITZ_TOKENS = 64
"""Up to this length products are taken. On a CPU with AVX2, forward and gradient, 2048 tokens of 128
channels in float32, their time as a part of the FFT's: 0.27 at 16 tokens, 0.33 at 32, 0.74 at 64, 1.5 at
80, 3.1 at 128. With a quarter of the tokens they are level at 45. A constant, so that a run repeats."""


def convolve(v_CNL: Tensor, h_CL: Tensor) -> Tensor:
    """The convolution within each line: (C, N, L), same dtype.

    Args:
        v_CNL: float32 or float64 inputs.
        h_CL: the filters, same dtype; `h_CL[:, k]` weighs the input k tokens before.
    """
    if not v_CNL.numel():
        return v_CNL
    function = Toeplitz if v_CNL.shape[-1] <= TOEPLITZ_TOKENS else Fourier
    out_CNL: Tensor = function.apply(v_CNL, h_CL)  # type: ignore[no-untyped-call]
    return out_CNL


def fft_size(tokens: int) -> int:
    """The least of 2^a, 3 x 2^a and 5 x 2^a that is at least twice `tokens`: fast everywhere."""
    power = 1 << (2 * tokens - 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= 2 * tokens)


def exactly(x: Tensor) -> torch.autocast:
    """A context in which products of tensors on x's device keep their dtype."""
    return torch.autocast(x.device.type, enabled=False)


class Fourier(torch.autograd.Function):
    """By FFT."""

    @staticmethod
    def forward(ctx: Any, v_CNL: Tensor, h_CL: Tensor) -> Tensor:
        """See `convolve`."""
        tokens = v_CNL.shape[-1]
        size = fft_size(tokens)
        v_CNF = torch.fft.rfft(v_CNL, size)
        h_CF = torch.fft.rfft(h_CL, size)
        out_CNL: Tensor = torch.fft.irfft(v_CNF * h_CF[:, None], size)[..., :tokens]
        ctx.save_for_backward(v_CNF.conj_physical_(), h_CF)  # so conjugated, without a copy
        ctx.tokens = tokens
        return out_CNL

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_CNL: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of v and h: correlations, so the other factor is conjugated."""
        conjugate_CNF, h_CF = ctx.saved_tensors
        tokens, size = ctx.tokens, fft_size(ctx.tokens)
        grad_CNF = torch.fft.rfft(grad_CNL, size)
        grad_v = grad_h = None
        if ctx.needs_input_grad[1]:
            sum_CF = (grad_CNF * conjugate_CNF).sum(1)
            grad_h = torch.fft.irfft(sum_CF, size)[:, :tokens]
        if ctx.needs_input_grad[0]:
            grad_v = torch.fft.irfft(grad_CNF.mul_(h_CF.conj()[:, None]), size)[..., :tokens]
        return grad_v, grad_h


class Toeplitz(torch.autograd.Function):
    """By products with matrices of L x L."""

    @staticmethod
    def forward(ctx: Any, v_CNL: Tensor, h_CL: Tensor) -> Tensor:
        """See `convolve`."""
        ctx.save_for_backward(v_CNL, h_CL)
        with exactly(v_CNL):
            return torch.bmm(v_CNL, toeplitz(h_CL))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_CNL: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of v: the transposed product; of h: the sums along the diagonals."""
        v_CNL, h_CL = ctx.saved_tensors
        grad_v = grad_h = None
        with exactly(grad_CNL):
            if ctx.needs_input_grad[0]:
                grad_v = torch.bmm(grad_CNL, toeplitz(h_CL).transpose(1, 2))
            if ctx.needs_input_grad[1]:
                grad_h = diagonal_sums(torch.bmm(v_CNL.transpose(1, 2), grad_CNL))
        return grad_v, grad_h


def toeplitz(h_CL: Tensor) -> Tensor:
    """(C, L, L): h_(t-s) at [s, t], 0 where t < s."""
    tokens = h_CL.shape[-1]
    padded = functional.pad(h_CL, (tokens - 1, 0))
    return padded.unfold(-1, tokens, 1).flip(1)


def diagonal_sums(x_CLL: Tensor) -> Tensor:
    """(C, L): the sum of x[s, t] over t - s = k, for each k >= 0. Overwrites x below the diagonal."""
    tokens = x_CLL.shape[-1]
    # Cut anew into lines one longer, each row stands one place further left than the one before,
    # and diagonals are columns; what lies below the diagonal would wrap around into them.
    flat = functional.pad(x_CLL.triu_(), (0, 0, 0, 1)).flatten(1)
    skewed = torch.unflatten(flat[:, : tokens * (tokens + 1)], 1, (tokens, tokens + 1))
    sums_CL: Tensor = skewed[..., :tokens].sum(1)
    return sums_CL
