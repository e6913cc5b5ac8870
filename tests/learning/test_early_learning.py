"""A fresh model tells tokens apart from the first steps on.

Half of the steps of a sequence follow a fixed permutation of 200 tokens. A model that sees which token
it reads learns that within a hundred small steps; one whose embedding drowns in its blocks does not.
B sequences, T tokens.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.sequence.vocabulary import Vocabulary

TOKENS, LENGTH, ROWS, STEPS = 200, 32, 16, 100
FOLLOWING = np.random.default_rng(0).permutation(TOKENS)
VOCABULARY = Vocabulary.build({"walk": Bounds(TOKENS, LENGTH, LENGTH)})


def walks(number: int) -> Batch:
    draws = np.random.default_rng([1, number])
    ids_BT = draws.integers(0, TOKENS, (ROWS, LENGTH))
    known_BT = draws.random((ROWS, LENGTH)) < 0.5
    for place in range(1, LENGTH):
        following_B = FOLLOWING[ids_BT[:, place - 1]]
        ids_BT[:, place] = np.where(known_BT[:, place], following_B, ids_BT[:, place])
    return collate([build_row(VOCABULARY, [Segment("walk", ids_T)]) for ids_T in ids_BT])


def loss_after_training(embedding_std: float | None) -> float:
    """Nats a token over the last ten steps; with a deviation, the embedding is drawn again so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AnyToAny(VOCABULARY, Transformer(TransformerSettings(width=64, depth=3), "sdpa"))
        if embedding_std is not None:
            torch.nn.init.normal_(model.embedding.weight, std=embedding_std)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=2e-3), []
    for number in range(STEPS):
        batch = walks(number)
        loss = (model(batch).nll_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-10:]))


def test_what_can_be_known_is_learned_within_a_hundred_steps() -> None:
    half = 0.5 + 0.5 / TOKENS  # what a step follows the permutation with
    least = -half * math.log(half) - (1 - half) * math.log((1 - half) / (TOKENS - 1))
    chance = math.log(TOKENS)
    fresh, drowned = loss_after_training(None), loss_after_training(0.02)
    assert (chance - fresh) / (chance - least) > 0.8
    assert (chance - drowned) / (chance - least) < 0.7  # without it this test could not fail
