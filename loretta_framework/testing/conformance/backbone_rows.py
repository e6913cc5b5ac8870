"""Rows, weights and comparisons for the checks of backbones.

B rows, T tokens a row, D width, N documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api import random
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.specs import BackboneCapabilities
from loretta_framework.testing.conformance.checks import require
from loretta_framework.testing.conformance.subject import SEED, Subject

LENGTHS = (5, 1, 13, 2, 9, 4)
"""Tokens of the documents that most checks use: short ones, one of a single token, odd ones."""

LARGE = 100.0
"""By how much inputs are changed where outputs may follow by rounding: a leak must show above it."""

BF16_ERROR = 0.1
"""Root-mean-square difference that bfloat16 may make, as part of the outputs' root mean square.

One rounding to bfloat16 costs at most 2^-8 = 0.004; a few layers of products stay well below this.
"""


def bound(tokens: int, dtype: torch.dtype = torch.float32) -> float:
    """How far two ways to sum the same `tokens` terms may be apart, relative to the largest entry.

    64 eps sqrt(T): rounding errors of a sum of T terms grow with sqrt(T) when they are random, and
    64 leaves room for the products of several layers. 4e-5 for 30 tokens in float32.
    """
    return 64 * torch.finfo(dtype).eps * sqrt(max(tokens, 1))


def require_close(
    got: Tensor, wanted: Tensor, tokens: int, what: str, scale: float | None = None
) -> None:
    """Raise `CheckFailure` unless the tensors agree within `bound`, relative to `scale`.

    Without a scale, relative to the largest entry of `wanted`.
    """
    require(got.shape == wanted.shape, f"{what}: {tuple(got.shape)} against {tuple(wanted.shape)}")
    if not got.numel():
        return
    error = float((got.detach() - wanted.detach()).abs().max())
    most = bound(tokens) * (float(wanted.detach().abs().max()) if scale is None else scale)
    require(error <= most, f"{what}: they differ by {error:.2g}, and {most:.2g} is the bound")


def require_same(got: Tensor, wanted: Tensor, what: str) -> None:
    """Raise `CheckFailure` unless the tensors are equal bit for bit."""
    if not torch.equal(got, wanted):
        error = float((got.detach() - wanted.detach()).abs().max())
        require(False, f"{what}: they must be equal bit for bit, but differ by up to {error:.2g}")


def change(subject: Subject, exact: float) -> float:
    """How large a change of inputs must leave other outputs alone: `exact`, or `LARGE`."""
    return exact if capabilities(subject).exact else LARGE


def require_unmoved(
    subject: Subject, got: Tensor, wanted: Tensor, everything: Tensor, what: str
) -> None:
    """Raise `CheckFailure` unless outputs stayed as they were when inputs elsewhere changed.

    Bit for bit, or within `bound` where the spec declares `exact=False`.

    Args:
        subject: whose outputs they are.
        got: after the change.
        wanted: before it.
        everything: all that was computed with `got`, (..., T, D). One transform of all positions
            rounds each by the largest, so that decides the bound.
        what: is told.
    """
    if capabilities(subject).exact:
        require_same(got, wanted, what)
    else:
        require_close(got, wanted, everything.shape[-2], what, float(everything.abs().max()))


@contextmanager
def seeded(*parts: str | int) -> Iterator[None]:
    """Torch's generator at a state that the parts name; the former state comes back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random.key(SEED, "conformance/backbone", *parts) % 2**63)
        yield


def fresh(subject: Subject, seed: int = 0) -> Any:
    """A backbone with the weights that this seed gives, in evaluation mode."""
    with seeded("weights", seed):
        built = subject.build()
    require(isinstance(built, nn.Module), f"it must be a torch module, but is {type(built)}")
    return built.eval()


def stirred(subject: Subject, seed: int = 0) -> Any:
    """As `fresh`, with noise on every parameter.

    A projection that starts at zero would hide whatever goes wrong before it.
    """
    built = fresh(subject, seed)
    with seeded("noise", seed), torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape).to(parameter.dtype))
    return built


def capabilities(subject: Subject) -> BackboneCapabilities:
    """What the spec declares."""
    declared = subject.spec.capabilities  # type: ignore[attr-defined]
    assert isinstance(declared, BackboneCapabilities)
    return declared


def documents(backbone: Any, lengths: Sequence[int], seed: int = 0) -> list[Tensor]:
    """A random (T, D) for each length."""
    with seeded("documents", seed):
        return [torch.randn(length, backbone.width) for length in lengths]


@dataclass(frozen=True)
class Rows:
    """Documents laid out in rows.

    Attributes:
        layout: what the backbone is given.
        places: for each document its row and its first and last + 1 position.
    """

    layout: SequenceLayout
    places: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, lengths: Sequence[int], lines: Sequence[Sequence[int]], tokens: int = 0) -> Rows:
        """Documents in rows: `lines` holds the numbers of each row's documents.

        Args:
            lengths: tokens of each document.
            lines: every document once.
            tokens: of a row, padding counted; at least those of the longest, which is the default.
        """
        longest = max(sum(lengths[n] for n in line) for line in lines)
        shape = (len(lines), max(tokens, longest))
        documents_BT = torch.full(shape, PADDING)
        positions_BT = torch.zeros(shape, dtype=torch.int64)
        places = [(0, 0, 0)] * len(lengths)
        order: list[int] = []
        for row, line in enumerate(lines):
            start = 0
            for number in line:
                stop = start + lengths[number]
                documents_BT[row, start:stop] = len(order)
                positions_BT[row, start:stop] = torch.arange(lengths[number])
                places[number] = (row, start, stop)
                order.append(lengths[number])
                start = stop
        ends = torch.tensor([0, *order]).cumsum(0).to(torch.int32)
        packed = any(len(line) > 1 for line in lines)
        layout = SequenceLayout(documents_BT, positions_BT, ends, max(lengths), packed)
        return cls(layout, tuple(places))

    @classmethod
    def alone(cls, lengths: Sequence[int], tokens: int = 0) -> Rows:
        """Each document in a row of its own."""
        return cls.of(lengths, [[n] for n in range(len(lengths))], tokens)

    @property
    def real_BT(self) -> Tensor:  # noqa: N802  # a tensor carries its axes
        """Bool (B, T), False at padding."""
        return self.layout.documents_BT != PADDING

    def fill(self, parts: Sequence[Tensor], padding: float = 0.0) -> Tensor:
        """(B, T, D) of the documents, random numbers times `padding` where there is none."""
        shape = (*self.layout.documents_BT.shape, parts[0].shape[-1])
        with seeded("padding"):
            x_BTD = padding * torch.randn(shape)
        for (row, start, stop), part in zip(self.places, parts, strict=True):
            x_BTD[row, start:stop] = part.detach()
        return x_BTD

    def split(self, out_BTD: Tensor) -> list[Tensor]:
        """The documents' own outputs, each (T, D)."""
        return [out_BTD[row, start:stop] for row, start, stop in self.places]


def run(backbone: Any, rows: Rows, parts: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of each document, without gradients."""
    with torch.no_grad():
        return rows.split(backbone(rows.fill(parts), rows.layout))


def gradients(backbone: Any, rows: Rows, x_BTD: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Gradients of a random function of the documents' outputs: of the parameters, and of x.

    The function weighs every output of a document with a random number of its own, the same in
    whatever rows the document lies; padding has no weight. x's gradient is (B, T, D).
    """
    x_BTD = x_BTD.clone().requires_grad_()
    backbone.zero_grad(set_to_none=True)
    parts = rows.split(backbone(x_BTD, rows.layout))
    weights = documents(backbone, [len(part) for part in parts], seed=1)
    total = torch.stack(
        [(part * weight).sum() for part, weight in zip(parts, weights, strict=True)]
    )
    torch.autograd.backward([total.sum()])
    found = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
    assert x_BTD.grad is not None
    return found, x_BTD.grad


def require_close_gradients(
    got: dict[str, Tensor], wanted: dict[str, Tensor], tokens: int, what: str
) -> None:
    """Every parameter's gradient within `bound` of its largest entry, or of 1 % of the largest."""
    require(set(got) == set(wanted), f"{what}: other parameters have gradients")
    largest = max((float(g.abs().max()) for g in wanted.values()), default=0.0)
    for name, gradient in wanted.items():
        scale = max(float(gradient.abs().max()), 0.01 * largest)
        require_close(got[name], gradient, tokens, f"{what}, gradient of '{name}'", scale)
