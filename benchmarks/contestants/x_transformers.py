"""x-transformers' decoder in a loop written by hand."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.loop import compiled, cross_entropy, train
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, compile, device."""
    model = build(spec["shape"])

    def loss(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return cross_entropy(model(inputs_BT), targets_BT)

    train(model, compiled(loss, spec), spec | {"packages": ["x-transformers"]}, rounds)


def build(shape: dict[str, Any]) -> Any:
    """A model with fresh weights of the seed 0: rotary, SwiGLU, fused attention."""
    package: Any = importlib.import_module("x_transformers")
    torch.manual_seed(0)
    width, heads = shape["width"], shape["heads"]
    return package.TransformerWrapper(
        num_tokens=shape["vocabulary"],
        max_seq_len=shape["tokens"],
        use_abs_pos_emb=False,
        attn_layers=package.Decoder(
            dim=width,
            depth=shape["depth"],
            heads=heads,
            attn_dim_head=width // heads,
            attn_flash=True,
            rotary_pos_emb=True,
            ff_swish=True,
            ff_glu=True,
            ff_mult=8 / 3,
            ff_no_bias=True,
        ),
    )
