"""The chunked loss is the plain one, and the logits of all positions never exist at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from loretta_framework.model import cross_entropy
from loretta_framework.model.cross_entropy import ChunkedNll, nll_of

N, D, G = 50, 16, 37


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, D, generator=draw).to(dtype) for n in (N, G))
    targets = torch.randint(G, (N,), generator=draw)
    upstream = torch.rand(N, generator=draw)
    return hidden.requires_grad_(), weight.requires_grad_(), targets, upstream


def results(bf16: bool) -> tuple[Tensor, ...]:
    hidden, weight, targets, upstream = inputs()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        nll = nll_of(hidden, weight, targets)
    assert nll.dtype == torch.float32
    (nll * upstream).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return nll.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("chunk", [1, 7 * G, N * G - 1])
@pytest.mark.parametrize("bf16", [False, True])
def test_chunks_give_the_plain_loss_and_gradients(
    chunk: int, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = results(bf16)
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", chunk)
    chunked = results(bf16)
    # Sums of at most 50 products of about 1, in another order; bfloat16 rounds each to 8 bits.
    bound = 2**-6 if bf16 else 1e-5
    for one, other in zip(plain, chunked, strict=True):
        torch.testing.assert_close(other, one, rtol=bound, atol=bound)


def test_the_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", 4 * G)
    hidden, weight, targets, _ = inputs(torch.float64)
    assert torch.autograd.gradcheck(ChunkedNll.apply, (hidden, weight, targets))
    half = (hidden.detach(), weight, targets)
    assert torch.autograd.gradcheck(ChunkedNll.apply, half)
    wanted = functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    torch.testing.assert_close(ChunkedNll.apply(hidden, weight, targets), wanted)


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor that an operation returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [one.numel() for one in tree_leaves(made) if isinstance(one, Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


def largest(positions: int) -> int:
    hidden = torch.randn(positions, 8, requires_grad=True)
    weight = torch.randn(500, 8, requires_grad=True)
    with Largest() as seen:
        nll_of(hidden, weight, torch.zeros(positions, dtype=torch.int64)).sum().backward()
    return seen.elements


def test_no_tensor_is_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert largest(600) == 600 * 500  # the plain path, which is what the measure must see
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", 100 * 500)
    assert largest(600) == largest(1200) == 100 * 500
