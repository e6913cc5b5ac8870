"""transfusion-pytorch, whose text path reads the tokens of all modalities, in a loop by hand."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.loop import compiled, train
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, pad."""
    package: Any = importlib.import_module("transfusion_pytorch")
    torch.manual_seed(0)
    shape = spec["shape"]
    heads = {"dim_head": shape["width"] // shape["heads"], "heads": shape["heads"]}
    model = package.Transfusion(
        num_text_tokens=shape["vocabulary"],
        transformer={"dim": shape["width"], "depth": shape["depth"], **heads},
    )

    def loss(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        nats: Tensor = model.forward_text(torch.cat([inputs_BT[:, :1], targets_BT], dim=1))
        return nats

    train(model, compiled(loss, spec), spec | {"packages": ["transfusion-pytorch"]}, rounds)
