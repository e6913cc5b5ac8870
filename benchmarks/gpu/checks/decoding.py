"""Generation on the device: captured blocks against eager ones, token by token, and their speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.product import assembled
from loretta_framework.api.specs import Bounds
from loretta_framework.generation.decode import evaluating, generate
from loretta_framework.sequence.rows import Segment

Check = Callable[[], dict[str, Any]]

SMALL = {"width": 768, "depth": 12, "heads": 12}
GROUPED = {**SMALL, "kv_heads": 3}
TINY = {"width": 32, "depth": 1, "heads": 2, "kv_heads": 1}
LENGTHS = (64, 192)
"""Tokens of the prompt and of what is generated."""


def checks(device: str, dry: bool) -> dict[str, Check]:
    """124 M parameters, plain and grouped queries, one row and many."""
    if dry:
        return {"decode, tiny, B 2": lambda: captured(TINY, 2, (4, 6), device)}
    return {
        f"decode, {name}, B {rows}": partial(captured, settings, rows, LENGTHS, device)
        for name, settings in (("12x768", SMALL), ("12x768, 3 key heads", GROUPED))
        for rows in (1, 64, 512)
    }


def captured(
    settings: dict[str, Any], rows: int, lengths: tuple[int, int], device: str
) -> dict[str, Any]:
    """Tokens a second with and without graphs, and the part of the tokens that agree."""
    bounds = {"prompt": Bounds(64, lengths[0], lengths[0]), "new": Bounds(256, *2 * (lengths[1],))}
    backbone = {"kind": "transformer", "settings": settings}
    with assembled(bounds, [("prompt", "new")], backbone, train={"precision": "bf16"}) as trainer:
        model, numerics = trainer.model.to(device), trainer.stepper.numerics
    random = np.random.default_rng(0)
    contents = random.integers(0, 64, (rows, lengths[0]))
    prompts = [[Segment("prompt", ids_T)] for ids_T in contents]
    uniforms_NT = random.random((rows, lengths[1]))
    made, seconds = {}, {}
    for graphs in (False, True):
        for _ in range(3):  # as it is, captured, replayed
            began = time.perf_counter()
            with evaluating(model), numerics.autocast():
                tokens = generate(
                    model, prompts, "new", uniforms_NT, graphs=graphs, batch_rows=rows
                )
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds[graphs] = time.perf_counter() - began
        made[graphs] = np.stack(tokens)
    agree = float((made[True] == made[False]).mean())
    return {
        "eager_tokens_per_s": round(rows * lengths[1] / seconds[False], 1),
        "graph_tokens_per_s": round(rows * lengths[1] / seconds[True], 1),
        "same_tokens": round(agree, 4),
        "same_rows": float((made[True] == made[False]).all(axis=1).mean()),
    }
