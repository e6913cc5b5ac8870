"""Checks that concern backbones: weights, how they are drawn, saved and loaded."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load, save

from loretta_framework.testing.conformance.backbone_rows import (
    LENGTHS,
    Rows,
    documents,
    fresh,
    require_same,
    run,
    seeded,
    stirred,
)
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.subject import Subject


@check("backbone")
def same_seed_same_weights(subject: Subject) -> None:
    """The state of torch's generator decides the weights, and nothing else does.

    Draw every initial weight with torch (`nn.init`, `torch.randn`) on the default generator: the
    framework seeds it. Do not seed it yourself, and draw nothing from numpy, `random` or the clock.
    Weights that are read from a file are the same for every seed, and that is sound.
    """
    one, again, other = (fresh(subject, seed).state_dict() for seed in (3, 3, 4))
    require(set(one) == set(again), "the same seed gave other parameters")
    for name, tensor in one.items():
        require_same(again[name], tensor, f"'{name}', built twice from the same seed")
    drawn = [name for name, tensor in one.items() if tensor.unique().numel() > 2]
    same = drawn and all(torch.equal(one[name], other[name]) for name in drawn)
    with seeded("weights", 3):
        start = torch.get_rng_state()
        subject.build()
        untouched = torch.equal(start, torch.get_rng_state())
    require(not same or untouched, "another seed gave the same weights, though it draws some")


@check("backbone")
def draws_only_in_training(subject: Subject) -> None:
    """In evaluation nothing is drawn; in training all draws are torch's, so that a seed repeats them.

    Dropout belongs in `nn.Dropout` or under `if self.training`. Nothing may be drawn from numpy or
    `random`, nor be kept from one call to the next (a running average, a counter).
    """
    backbone = stirred(subject)
    parts, rows = documents(backbone, LENGTHS), Rows.alone(LENGTHS)
    with seeded("one"):
        start = torch.get_rng_state()
        first = run(backbone, rows, parts)
        drew = not torch.equal(start, torch.get_rng_state())
    require(not drew, "it drew from torch's generator in evaluation mode")
    with seeded("two"):
        second = run(backbone, rows, parts)
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        require_same(other, one, f"document {number}, computed twice in evaluation mode")
    backbone.train()
    made = []
    for _ in range(2):
        with seeded("training"):
            made.append(run(backbone, rows, parts))
    for number, (one, other) in enumerate(zip(*made, strict=True)):
        require_same(other, one, f"document {number}, twice in training mode from the same seed")


@check("backbone")
def weights_come_back(subject: Subject) -> None:
    """Weights saved from one and loaded into another give the same outputs, bit for bit.

    Everything that outputs depend on is a parameter or a persistent buffer, or follows from the
    settings alone. Tensors are saved as safetensors: contiguous, and no two share their memory. A
    value derived from a weight is computed in `forward`: kept, it would outlive the weight.
    """
    backbone, other = stirred(subject), stirred(subject, seed=1)
    rows, parts = Rows.alone(LENGTHS), documents(backbone, LENGTHS)
    run(other, rows, parts)  # whatever it keeps, it now keeps of the old weights
    other.load_state_dict(load(save(backbone.state_dict())))
    _require_same_outputs(backbone, other, "after its weights were loaded")


@check("backbone")
def builds_without_memory(subject: Subject) -> None:
    """Built on the meta device and filled from saved weights it gives the same outputs, bit for bit.

    Large models are built so, each rank filling its own part. In `__init__` make tensors with torch
    only, without naming a device, and never read their values (`.item()`, `if tensor`, numpy). A
    buffer that no checkpoint holds (`persistent=False`) is empty afterwards: compute it in
    `forward`.
    """
    backbone = stirred(subject)
    with torch.device("meta"):
        empty = subject.build()
    where = {str(tensor.device) for tensor in empty.state_dict().values()}
    require(where <= {"meta"}, f"its tensors lie on {', '.join(sorted(where))}, not on meta alone")
    empty = empty.to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in [*empty.parameters(), *empty.buffers()]:
            tensor.fill_(float("nan") if tensor.is_floating_point() else 1)
    empty.load_state_dict(backbone.state_dict())
    _require_same_outputs(backbone, empty, "after it was filled")


def _require_same_outputs(backbone: Any, other: Any, what: str) -> None:
    rows, parts = Rows.alone(LENGTHS), documents(backbone, LENGTHS)
    pairs = zip(run(other, rows, parts), run(backbone, rows, parts), strict=True)
    for number, (got, wanted) in enumerate(pairs):
        require_same(got, wanted, f"outputs of document {number} {what}")
