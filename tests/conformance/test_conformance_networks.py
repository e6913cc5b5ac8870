"""The many ways in which a network of an encoder or decoder can fail. Axes: B rows, T tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sound_components as parts
import torch
from sound_networks import DecoderNetwork, EncoderNetwork
from sound_plugin import broken, made
from torch import nn

from loretta_framework.testing.conformance.running import checks_of, run_check


def encoder(**members: Any) -> dict[str, Any]:
    network = type("Network", (EncoderNetwork,), members)
    return {"network": lambda self: network(3)}


def decoder(**members: Any) -> dict[str, Any]:
    network = type("Network", (DecoderNetwork,), members)
    return {"decoder": lambda self, width: network(width, 3)}


def own_generator(self: Any, size: int) -> None:
    EncoderNetwork.__init__(self, size)
    with torch.no_grad():
        self.layer.weight.copy_(torch.from_numpy(np.random.default_rng().random((5, 3))))


def with_rows(change: Callable[[Any], Any]) -> Any:
    """`loss` over changed conditions."""
    return lambda self, c_BTC, f_BTD: DecoderNetwork.loss(self, change(c_BTC), f_BTD)


def sampled(change: Callable[[Any], Any]) -> Any:
    """A changed `sample`."""
    return lambda self, c_BTC, draws: change(DecoderNetwork.sample(self, c_BTC, draws))


@pytest.mark.parametrize(
    ("members", "name", "text"),
    [
        (
            encoder(forward=lambda s, f: s.layer(f)[:, :1]),
            "encoder.gives_vectors",
            "must be (3, 2, 5)",
        ),
        (encoder(forward=lambda s, f: s.layer(f).double()), "encoder.gives_vectors", "float64"),
        (encoder(forward=lambda s, f: s.layer(f) / 0), "encoder.gives_vectors", "must be finite"),
        ({"network": lambda self: None}, "encoder.rows_do_not_mix", None),
        ({"network": lambda self: None}, "encoder.weights_come_back", None),
        (
            encoder(forward=lambda s, f: s.layer(f).detach()),
            "encoder.every_parameter_learns",
            "its output has no gradient",
        ),
        (
            encoder(forward=lambda s, f: s.layer(f) * 0),
            "encoder.every_parameter_learns",
            "all gradients are zero",
        ),
        (
            encoder(forward=lambda s, f: (s.layer(f) - s.layer(f)).sqrt()),
            "encoder.every_parameter_learns",
            "the gradient of layer.weight, layer.bias is not finite",
        ),
        (
            encoder(__init__=own_generator),
            "encoder.weights_come_back",
            "'layer.weight' differs between two networks made with the same seed",
        ),
        (
            {"decoder": lambda self, width: parts},
            "decoder.has_a_loss_for_each_row",
            "`decoder` must make a torch module, but makes module",
        ),
        (
            decoder(loss=with_rows(lambda c_BTC: c_BTC / 0)),
            "decoder.has_a_loss_for_each_row",
            "the loss is not finite",
        ),
        (
            decoder(loss=lambda s, c, f: (s.layer(c) - f).square().detach().mean((1, 2))),
            "decoder.teaches_the_model",
            "the loss has no gradient",
        ),
        (
            decoder(loss=lambda s, c, f: (s.layer(c) - f).square().mean((1, 2))),
            "decoder.teaches_the_model",
            "no gradient reaches spread",
        ),
        (
            decoder(loss=with_rows(lambda c_BTC: c_BTC.detach())),
            "decoder.teaches_the_model",
            "no gradient reaches the conditions",
        ),
        (
            decoder(sample=sampled(lambda sample: sample + np.random.default_rng().random())),
            "decoder.samples_by_its_generator",
            "two generators in the same state gave two samples",
        ),
        (
            decoder(loss=with_rows(lambda c_BTC: c_BTC - c_BTC.mean(0))),
            "decoder.rows_do_not_mix",
            "changed the loss of another row",
        ),
        (
            decoder(sample=sampled(lambda sample: sample / 0)),
            "decoder.samples_are_values",
            "samples must be finite float32",
        ),
        (
            {"restore": lambda self, features: {}[features.shape]},
            "decoder.samples_are_values",
            "`restore` of a sample raised KeyError",
        ),
        (
            {"write": lambda self, value: {}[value.shape]},
            "decoder.samples_are_values",
            "`write` said KeyError",
        ),
        (
            {"restore": lambda self, f: f.reshape(-1) * 2},
            "decoder.features_come_back",
            "give the val",
        ),
    ],
)
def test_the_fault_is_told(members: dict[str, Any], name: str, text: str | None) -> None:
    """Where the text is None, there is nothing to try."""
    subject = broken("wave", made(parts.Wave, **members))()
    (item,) = (item for item in checks_of(subject) if item.id == name)
    result = run_check(subject, item)
    if text is None:
        assert result.outcome == "not applicable"
        assert "its features are vectors already" in result.detail
        return
    assert result.failed, str(result)
    assert text in result.detail


def test_frozen_weights_need_no_gradient() -> None:
    def freeze(self: Any, size: int) -> None:
        EncoderNetwork.__init__(self, size)
        self.kept = nn.Parameter(torch.ones(3), requires_grad=False)

    subject = broken("wave", made(parts.Wave, **encoder(__init__=freeze)))()
    (item,) = (i for i in checks_of(subject) if i.id == "encoder.every_parameter_learns")
    assert run_check(subject, item).outcome == "passed"


def test_a_lossy_decoder_without_a_promise_is_not_judged() -> None:
    subject = broken("wave", capabilities={"lossy": True})()
    (item,) = (item for item in checks_of(subject) if item.id == "decoder.features_come_back")
    assert run_check(subject, item).outcome == "not applicable"
