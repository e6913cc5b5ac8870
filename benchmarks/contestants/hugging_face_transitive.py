"""HF Llama with `generate` in the loop: the code that a user would write.

B rows, T tokens of a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants.hugging_face import build
from benchmarks.contestants.loop import NONE, cross_entropy, precise, train
from benchmarks.rounds import Rounds
from benchmarks.tokens import FIRST
from benchmarks.transitive import batches, content

LINK, REAL, MISSING = 0, 1, 2
"""Which third of the ids a segment takes; the ids before `FIRST` open them."""


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, whether to generate."""
    shape = spec["shape"] | {"tokens": 2 * spec["shape"]["segment"] + 2}
    model = build("llama", shape)

    def loss(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return cross_entropy(model(input_ids=inputs_BT, use_cache=False).logits, targets_BT)

    train(model, loss, spec | {"packages": ["transformers"]}, rounds, rows(model, spec))


def rows(model: Any, spec: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor, int]]:
    """(inputs, targets, tokens) of each step: the link or what is generated from it, then the real."""
    shape = spec["shape"]
    tokens, batch = shape["segment"], shape["batch"]
    for link_BT, real_BT in batches(shape):
        first, second = _segment(shape, LINK, link_BT), _segment(shape, REAL, real_BT)
        if spec["generate"]:
            opened = torch.full((batch, 1), MISSING)
            prompts = torch.cat([first, opened], dim=1)
            model.eval()
            with precise(spec["precision"], "cpu"):
                made = model.generate(
                    prompts,
                    attention_mask=torch.ones_like(prompts),
                    max_new_tokens=tokens,
                    min_new_tokens=tokens,
                    do_sample=True,
                    top_k=0,
                    eos_token_id=None,
                    pad_token_id=0,
                )
            model.train()
            first = made[:, tokens + 1 :]
        ids = torch.cat([first, second], dim=1)
        targets = ids[:, 1:].clone()
        if spec["generate"]:
            targets[:, : tokens + 1] = NONE
        yield ids[:, :-1], targets, batch * (2 * tokens + 1)


def _segment(shape: dict[str, Any], third: int, ids_BT: Any) -> Tensor:
    opened_B1 = np.full((len(ids_BT), 1), third)
    start = FIRST + third * content(shape)
    return torch.from_numpy(np.concatenate([opened_B1, ids_BT + start], axis=1).astype(np.int64))
