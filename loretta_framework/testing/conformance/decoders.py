"""Checks that concern decoders. Axes: B rows, T tokens, C width of the conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.networks import (
    ROUNDING,
    farthest,
    require_gradients,
    require_weights,
    seeded,
    stacked_features,
)
from loretta_framework.testing.conformance.sameness import promises, require_near, shown
from loretta_framework.testing.conformance.subject import SEED, Subject

if TYPE_CHECKING:
    from torch import Generator, Tensor

WIDTH = 24
"""C."""

ROWS = 3


def _network(subject: Subject) -> Any:
    """A fresh network from a fixed seed, in evaluation mode."""
    import torch

    built = subject.build()
    network = seeded(lambda: built.decoder(WIDTH))
    module = isinstance(network, torch.nn.Module)
    require(module, f"`decoder` must make a torch module, but makes {type(network).__name__}")
    return network.eval()


def _conditions(subject: Subject, rows: int = ROWS) -> Tensor:
    """Random (B, T, C), the same each time."""
    import torch

    draws = torch.Generator().manual_seed(SEED)
    return torch.randn(rows, subject.bounds.max_tokens, WIDTH, generator=draws)


def _draws() -> Generator:
    import torch

    return torch.Generator().manual_seed(SEED)


def _sample(network: Any, conditions_BTC: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        sample: Tensor = network.sample(conditions_BTC, _draws())
    return sample


@check("decoder")
def features_come_back(subject: Subject) -> None:
    """`restore(preprocess(value))` is the value, or as near to it as the trial says.

    What the network learns are features; people are shown what `restore` makes of them. A modality with
    `lossy=False` gives back an equal value; for another, `max_distance` in the trial says how much is
    lost by its `distance`. Look for swapped axes, a scale that is undone twice, and an offset.
    """
    built = subject.ready()
    if not promises(subject):
        raise NotApplicable("it is lossy, and its trial has no `max_distance`")
    for value in subject.values():
        restored = built.restore(built.preprocess(value))
        require_near(subject, value, restored, "restore(preprocess(value))")


@check("decoder")
def has_a_loss_for_each_row(subject: Subject) -> None:
    """`loss(conditions, features)` gives a finite float32 number for each row.

    The framework weights rows, so the loss is (B,): take the mean over a row's own axes, and none over the
    batch. `decoder(width)` returns a torch module for conditions (B, T, width) and features as
    `preprocess` makes them.
    """
    import torch

    network, features = _network(subject), stacked_features(subject, ROWS)
    loss = seeded(lambda: network.loss(_conditions(subject, len(features)), features))
    form = f"{loss.dtype} {tuple(loss.shape)}"
    right = tuple(loss.shape) == (len(features),) and loss.dtype == torch.float32
    require(right, f"the loss must be float32 ({len(features)},), but is {form}")
    require(bool(loss.isfinite().all()), f"the loss is not finite: {loss.tolist()}")


@check("decoder")
def teaches_the_model(subject: Subject) -> None:
    """The gradient of the loss reaches the conditions and every parameter.

    The conditions are what the backbone says: without a gradient there, the model learns nothing from
    this modality. Look for `detach`, `no_grad`, rounding, and parameters that the loss does not use.
    """
    network, features = _network(subject).train(), stacked_features(subject, ROWS)
    conditions = _conditions(subject, len(features)).requires_grad_()
    loss = seeded(lambda: network.loss(conditions, features)).mean()
    require(loss.requires_grad, "the loss has no gradient")
    require_gradients(network, loss)
    reached = conditions.grad is not None and bool((conditions.grad != 0).any())
    require(reached, "no gradient reaches the conditions")


@check("decoder")
def samples_by_its_generator(subject: Subject) -> None:
    """`sample(conditions, generator)` draws from the generator alone.

    The same generator state gives the same features, and torch's global generator is left alone: what is
    generated follows from a key, whatever ran before. Pass `generator=generator` to every `torch.randn`,
    `rand`, `normal_` and `multinomial`; `randn_like` cannot take one. No dropout while sampling.
    """
    import torch

    network, conditions = _network(subject), _conditions(subject)
    before = torch.get_rng_state()
    first = _sample(network, conditions)
    untouched = torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    require(untouched, "it draws from torch's global generator")
    text = "two generators in the same state gave two samples"
    require(torch.equal(first, _sample(network, conditions)), text)


@check("decoder")
def rows_do_not_mix(subject: Subject) -> None:
    """What becomes of a row depends on its own conditions and features, not on those beside it.

    Rows belong to different samples. Change one row, and loss and sample of the others stay as they are:
    normalise within a row, and attend within a row.
    """
    network, features = _network(subject), stacked_features(subject, ROWS)
    conditions = _conditions(subject, len(features))
    changed, others = conditions.clone(), features.clone()
    changed[-1] += 1
    others[-1] = features[0]
    before = seeded(lambda: network.loss(conditions, features))[:-1].detach()
    after = seeded(lambda: network.loss(changed, others))[:-1].detach()
    text = "its conditions and features changed the loss of another row"
    require(farthest(before, after) <= ROUNDING, text)
    first, second = _sample(network, conditions)[:-1], _sample(network, changed)[:-1]
    text = "its conditions changed the sample of another row"
    require(farthest(first, second) <= ROUNDING, text)


@check("decoder")
def samples_are_values(subject: Subject) -> None:
    """`restore` makes of each sample a value that `write` and `show` take.

    An untrained network gives odd features. `sample` returns float32 (B, ...) in the shape of the features,
    finite; `restore` clips to the range of a value, and never fails on finite features.
    """
    import torch

    built, features = subject.build(), stacked_features(subject, ROWS)
    samples = _sample(_network(subject), _conditions(subject))
    wanted = (ROWS, *features.shape[1:])
    require(tuple(samples.shape) == wanted, f"must be {wanted}, but is {tuple(samples.shape)}")
    floating = samples.dtype == torch.float32 and bool(samples.isfinite().all())
    require(floating, f"samples must be finite float32, but are {samples.dtype}")
    for sample in [*samples, samples[0] * 1e3, samples[0] * 0]:
        outcome = refusal(built.restore, sample.numpy())
        require(not outcome, f"`restore` of a sample raised {outcome}")
        value = built.restore(sample.numpy())
        for name in ("write", "show"):
            outcome = refusal(getattr(built, name), value)
            require(
                not outcome, f"of a sample came {shown(value)}, of which `{name}` said {outcome}"
            )


@check("decoder")
def weights_come_back(subject: Subject) -> None:
    """Weights follow from torch's seed, and the state dict holds all that the network learned.

    Draw first weights from torch's own generator alone, which the framework seeds. Register what is learned
    or fixed by chance as a parameter or a buffer: a plain tensor attribute is neither saved nor moved to
    the device.
    """
    built, conditions = subject.build(), _conditions(subject)
    require_weights(lambda: built.decoder(WIDTH), lambda network: _sample(network, conditions))
