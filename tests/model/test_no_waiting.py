"""Forward and loss ask the device for nothing: on a GPU every answer would stop the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.sequence.vocabulary import Vocabulary

SLOTS = (range(3), range(3, 8))
VOCABULARY = Vocabulary.build(
    {
        "text": Bounds(5, 1, 6),
        "image": Bounds(8, 4, 4),
        "panel": Bounds(8, 2, 2, slots=SLOTS),
        "wave": Bounds(0, 3, 3),
    }
)
ASKING = ("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "nonzero", "unique")


class Wave(nn.Module):
    width = 4

    def forward(self, features_NTC: Tensor) -> Tensor:
        return features_NTC


def batch_of(form: str) -> Batch:
    draw = np.random.default_rng(0)
    contents = {
        "text": lambda: draw.integers(0, 5, draw.integers(1, 7)),
        "image": lambda: draw.integers(0, 8, 4),
        "panel": lambda: np.array([draw.integers(0, 3), draw.integers(3, 8)]),
        "wave": lambda: draw.standard_normal((3, 4)).astype(np.float32),
    }
    orders = [("wave", "text", "image"), ("text", "panel"), ("image", "text"), ("panel",)] * 2
    rows = [
        build_row(VOCABULARY, [Segment(n, contents[n]()) for n in names], str(i), "causal")
        for i, names in enumerate(orders)
    ]
    return collate(rows, form, vocabulary=VOCABULARY)  # type: ignore[arg-type]


@pytest.fixture
def mute() -> Iterator[Callable[[], None]]:
    """Once called, tensors answer no question of the host."""
    with pytest.MonkeyPatch.context() as patch:

        def switch() -> None:
            for name in ASKING:

                def asked(*_: object, name: str = name, **__: object) -> None:
                    raise AssertionError(f"the device was asked: {name}")

                patch.setattr(Tensor, name, asked)
                if hasattr(torch, name):
                    patch.setattr(torch, name, asked)
            patch.setattr(torch, "masked_select", asked)

        yield switch


@pytest.mark.parametrize("form", ["padded", "packed"])
def test_forward_and_loss_wait_for_nothing(form: str, mute: Callable[[], None]) -> None:
    settings = TransformerSettings(width=32, depth=2, heads=4)
    model = AnyToAny(VOCABULARY, Transformer(settings, "sdpa"), encoders={"wave": Wave()})
    batch = batch_of(form)
    mute()
    with pytest.raises(AssertionError, match="asked: item"):
        batch.ids_BT.sum().item()
    with pytest.raises(AssertionError, match="asked: __bool__"):
        assert batch.ids_BT.sum() > 0
    outputs = model(batch)
    losses = batch.edge_losses(outputs.nll_BT, "causal")
    assert set(losses) >= {"wave->text", "text->panel", "image->text"}
    assert isinstance(batch.tokens, int)
    torch.stack([nats for nats, _ in losses.values()]).sum().backward()
    assert model.projectors["wave"].weight.grad is not None


def test_positions_without_weight_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TransformerSettings(width=32, depth=1, heads=4)
    model = AnyToAny(VOCABULARY, Transformer(settings, "sdpa"), encoders={"wave": Wave()})
    batch, seen = batch_of("packed"), []
    whole = torch.nn.functional.linear

    def linear(hidden: Tensor, *others: Tensor) -> Tensor:
        seen.append(len(hidden))
        return whole(hidden, *others)

    monkeypatch.setattr("loretta_framework.model.cross_entropy.functional.linear", linear)
    model.nll(torch.zeros(*batch.ids_BT.shape, 32), batch)
    assert sum(seen) == int((batch.weights_BT > 0).sum()) < batch.ids_BT.numel()
