"""Checks that concern encoders. Axes: N values, T tokens."""

from __future__ import annotations

from typing import Any

from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.features import features_of
from loretta_framework.testing.conformance.networks import (
    ROUNDING,
    farthest,
    require_gradients,
    require_weights,
    seeded,
    stacked_features,
)
from loretta_framework.testing.conformance.subject import Subject


def _network(subject: Subject) -> Any:
    """A fresh network from a fixed seed, in evaluation mode."""
    network = seeded(subject.build().network)
    if network is None:
        raise NotApplicable("it has no network: its features are vectors already")
    return network.eval()


@check("encoder")
def gives_vectors(subject: Subject) -> None:
    """`network()` gives a torch module that makes finite vectors (N, T, width) of features.

    T is `bounds().max_tokens`, and `width` an attribute of the module: the framework puts a linear layer
    between it and the backbone. Where `network()` returns None, the features are such vectors, (T, width),
    and the modality itself has the attribute `width`.
    """
    import torch

    tokens = subject.bounds.max_tokens
    built = subject.build()
    network = seeded(built.network)
    if network is None:
        shape = features_of(subject).shape[1:]
        right = len(shape) == 2 and shape[0] == tokens
        text = f"features must be ({tokens}, width), but are {shape}"
        require(right, f"without a network, {text}")
        width = getattr(built, "width", None)
        right = type(width) is int and width == shape[1]
        text = f"must be the integer {shape[1]} of its features, but is {width!r}"
        require(right, f"without a network, the modality's `width` {text}")
        return
    module = isinstance(network, torch.nn.Module) and isinstance(network.width, int)
    require(module, f"it must be a torch module with `width`, but is {type(network).__name__}")
    with torch.no_grad():
        given = stacked_features(subject)
        made = network.eval()(given)
    wanted = (len(given), tokens, network.width)
    require(tuple(made.shape) == wanted, f"must be {wanted}, but is {tuple(made.shape)}")
    floating = made.dtype == torch.float32 and bool(made.isfinite().all())
    require(floating, f"must be finite float32, but is {made.dtype}, {made.flatten()[:4].tolist()}")


@check("encoder")
def every_parameter_learns(subject: Subject) -> None:
    """A gradient reaches every parameter of the network.

    The network trains with the model. A parameter that gets none is unused, or cut off by `detach`,
    `no_grad` or numpy; one that shall not be trained has `requires_grad=False`.
    """
    network = _network(subject).train()
    made = network(stacked_features(subject))
    require(made.requires_grad or not list(network.parameters()), "its output has no gradient")
    if made.requires_grad:
        require_gradients(network, made.square().mean())


@check("encoder")
def weights_come_back(subject: Subject) -> None:
    """Weights follow from torch's seed, and the state dict holds all that the network learned.

    Draw first weights from torch's own generator alone, which the framework seeds, or read them from the
    file that a setting names. Register what is learned or fixed by chance as a parameter or a buffer: a
    plain tensor attribute is neither saved nor moved to the device.
    """
    import torch

    _network(subject)
    given = stacked_features(subject)
    with torch.no_grad():
        require_weights(subject.build().network, lambda network: network(given))


@check("encoder")
def rows_do_not_mix(subject: Subject) -> None:
    """In evaluation, a batch gives what its values give one by one.

    Otherwise an answer would depend on what else is asked at the same time. Normalise over a value and
    not over the batch, or with statistics that were learned (`BatchNorm` in `eval()`); never reshape
    features across the first axis.
    """
    import torch

    network, given = _network(subject), stacked_features(subject)
    with torch.no_grad():
        together = network(given)
        alone = torch.cat([network(row[None]) for row in given])
    apart = farthest(together, alone)
    require(
        apart <= ROUNDING, f"a batch differs from its rows by {apart:.2g} of the largest number"
    )


@check("encoder")
def draws_only_in_training(subject: Subject) -> None:
    """In evaluation mode the network gives the same vectors for the same features.

    Use `torch.nn.Dropout`, or ask `self.training` before you draw: functional dropout is on unless it is
    told otherwise.
    """
    import torch

    network, given = _network(subject), stacked_features(subject)
    with torch.no_grad():
        first, again = network(given), network(given)
    require(torch.equal(first, again), "two calls in evaluation mode differ")
