"""nanoGPT's model as it is shipped, from a checkout whose path is given; no copy of it is kept here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.loop import compiled, train
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, compile, path of the checkout, device."""
    place = importlib.util.spec_from_file_location("nanogpt_model", Path(spec["path"], "model.py"))
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    sys.modules["nanogpt_model"] = module  # its dataclass looks itself up there
    place.loader.exec_module(module)
    shape = spec["shape"]
    torch.manual_seed(0)
    config = module.GPTConfig(
        block_size=shape["tokens"],
        vocab_size=shape["vocabulary"],
        n_layer=shape["depth"],
        n_head=shape["heads"],
        n_embd=shape["width"],
        dropout=0.0,
        bias=False,
    )
    model = module.GPT(config).to(spec.get("device", "cpu"))

    def loss(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        nats: Tensor = model(inputs_BT, targets_BT)[1]
        return nats

    train(model, compiled(loss, spec), spec, rounds)
