"""What encoder and decoder networks are tried with. Axes: N samples, B rows, T tokens, C conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from loretta_framework.testing.conformance.checks import require
from loretta_framework.testing.conformance.features import features_of
from loretta_framework.testing.conformance.subject import SEED, Subject

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-4
"""Of the largest output: a batch may be summed in another order than a row, at float32."""


def seeded(make: Callable[[], Any], seed: int = SEED) -> Any:
    """What `make` returns with torch's generator at this seed; afterwards that is as before."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def stacked_features(subject: Subject, count: int = 3) -> Tensor:
    """Features of example values as a tensor."""
    import torch

    return torch.from_numpy(features_of(subject, count))


def require_weights(make: Callable[[], Any], answer: Callable[[Any], Tensor]) -> None:
    """Fail unless a network's weights follow from torch's seed, and all that it is lies in them.

    Args:
        make: a fresh network.
        answer: what it gives, deterministic, in evaluation mode.
    """
    import torch

    first, again = seeded(make).eval(), seeded(make).eval()
    for name, tensor in first.state_dict().items():
        equal = torch.equal(tensor, again.state_dict()[name])
        require(equal, f"'{name}' differs between two networks made with the same seed")
    other = seeded(make, SEED + 1).eval()
    other.load_state_dict(first.state_dict())
    equal = torch.equal(answer(first), answer(other))
    require(equal, "with the same state dict, two networks give different results")


def require_gradients(network: Any, loss: Tensor) -> None:
    """Fail unless every parameter that can be trained gets a finite gradient, not all of them zero."""
    loss.backward()  # type: ignore[no-untyped-call]
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    absent = [name for name, parameter in named if parameter.grad is None]
    require(not absent, f"no gradient reaches {', '.join(absent)}")
    broken = [name for name, parameter in named if not bool(parameter.grad.isfinite().all())]
    require(not broken, f"the gradient of {', '.join(broken)} is not finite")
    moved = not named or any(bool((parameter.grad != 0).any()) for _, parameter in named)
    require(moved, "all gradients are zero")


def farthest(first: Tensor, second: Tensor) -> float:
    """The largest difference, relative to the largest output."""
    scale = max(float(first.abs().max()), 1e-6)
    return float(np.nan_to_num(float((first - second).abs().max()) / scale, nan=np.inf))
