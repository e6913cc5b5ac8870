"""The training loop that a user writes by hand, for models that bring none.

B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rounds import Rounds
from benchmarks.tokens import MIX_ROW, mix, mix_ids, repeated

Loss = Callable[[Tensor, Tensor], Tensor]
"""(inputs (B, T), targets (B, T)) -> mean nats; targets are `NONE` at padding."""

NONE = -1
"""The target of a place that holds no token."""


def optimizer_of(model: nn.Module) -> torch.optim.AdamW:
    """The optimiser of every contestant; matrices decay, vectors do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)


def precise(precision: str, device: str) -> AbstractContextManager[object]:
    """The context of a precision: "bf16" computes under autocast."""
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()


def batches(spec: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor, int]]:
    """(inputs, targets, tokens that count) of each step, without end."""
    shape, device = spec["shape"], spec.get("device", "cpu")
    if shape.get("mix"):
        yield from mixed_batches(shape, spec["pad"])
    for ids_BT in repeated(0, shape):
        ids = torch.from_numpy(ids_BT).to(device)
        yield ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), shape["batch"] * shape["tokens"]


def mixed_batches(shape: dict[str, Any], pad: str) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The mix in its own order, padded to the "row" or to the longest of the "batch"."""
    sequences, batch = [mix_ids(sample) for sample in mix(0, shape["samples"])], shape["batch"]
    while True:
        for start in range(0, len(sequences) - batch + 1, batch):
            part = sequences[start : start + batch]
            length = MIX_ROW if pad == "row" else max(map(len, part))
            ids_BT = np.full((batch, length), NONE)
            for line, ids_T in enumerate(part):
                ids_BT[line, : len(ids_T)] = ids_T
            ids = torch.from_numpy(ids_BT)
            yield (
                ids[:, :-1].clamp_min(0),
                ids[:, 1:].contiguous(),
                sum(len(ids_T) - 1 for ids_T in part),
            )


def train(
    model: nn.Module,
    loss_of: Loss,
    spec: dict[str, Any],
    rounds: Rounds,
    data: Iterator[tuple[Tensor, Tensor, int]] | None = None,
) -> None:
    """Train until there are no more rounds.

    Args:
        model: its parameters are trained.
        loss_of: computes with the model, compiled where the spec says so.
        spec: shape, precision, device.
        rounds: how many steps each has.
        data: what `batches` gives unless it is given.
    """
    device = spec.get("device", "cpu")
    optimizer, data = optimizer_of(model), data or batches(spec)
    rounds.about(
        parameters=sum(p.numel() for p in model.parameters()),
        versions={name: metadata.version(name) for name in ("torch", *spec.get("packages", ()))},
    )
    for pieces in rounds:
        tokens, total = 0, 0.0
        for _ in range(pieces):
            inputs_BT, targets_BT, count = next(data)
            optimizer.zero_grad(set_to_none=True)
            with precise(spec["precision"], device):
                loss = loss_of(inputs_BT, targets_BT)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total, tokens = float(loss.detach()), tokens + count
        rounds.note(units=tokens, loss=total, **peak(device))


def peak(device: str) -> dict[str, float]:
    """Most gigabytes of the device's memory that were held; {} on processors."""
    if not device.startswith("cuda"):
        return {}
    return {"peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)}


def compiled(function: Loss, spec: dict[str, Any]) -> Loss:
    """The loss, compiled where the spec says so."""
    chosen: Loss = torch.compile(function) if spec.get("compile") else function
    return chosen


def cross_entropy(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean nats in float32."""
    logits_NV, targets_N = logits_BTV.flatten(0, 1).float(), targets_BT.flatten()
    return nn.functional.cross_entropy(logits_NV, targets_N, ignore_index=NONE)
