"""Our model in the shortest loop that trains it: what the framework's own loop is compared with."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.contestants.loop import optimizer_of, peak, precise
from benchmarks.contestants.ours import samples, transformer, world
from benchmarks.machine import versions
from benchmarks.product import assembled
from benchmarks.rounds import Rounds
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Segment, build_row


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train on batches that are laid out before the clock runs. Spec: shape, precision, batches."""
    shape = spec["shape"]
    bounds, pairs = world(shape)
    with assembled(bounds, pairs, spec.get("backbone") or transformer(shape)) as trainer:
        model = trainer.model.train()
    device = next(model.parameters()).device
    made, data = [], samples(shape)
    for _ in range(spec.get("batches", 4)):
        step = next(data)["causal"]
        rows = [
            build_row(model.vocabulary, [Segment(*part) for part in sample.parts])
            for sample in step
        ]
        made.append(collate(rows, "packed", trainer.stepper.capacity).to(device))
    optimizer, number = optimizer_of(model), 0
    rounds.about(parameters=sum(p.numel() for p in model.parameters()), versions=versions())
    for pieces in rounds:
        tokens = 0
        for _ in range(pieces):
            batch = made[number % len(made)]
            number, tokens = number + 1, tokens + batch.tokens
            optimizer.zero_grad(set_to_none=True)
            with precise(spec["precision"], device.type):
                loss = (model(batch).nll_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            last = float(loss.detach())
        rounds.note(units=tokens, loss=last, **peak(device.type))
