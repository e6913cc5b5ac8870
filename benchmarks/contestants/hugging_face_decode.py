"""Greedy `generate` of transformers, with a static or a growing cache, compiled or not."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import torch

from benchmarks.contestants.hugging_face import build
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Generate. Spec: model, shape (prompt, new), rows, precision, cache, compile, device."""
    shape, device = spec["shape"], spec.get("device", "cpu")
    new, prompt = shape["new"], shape["prompt"]
    model = build(spec["model"], shape | {"tokens": prompt + new}).to(device).eval()
    if spec["precision"] == "bf16":
        model = model.to(torch.bfloat16)
    if spec.get("compile"):
        model.forward = torch.compile(model.forward, dynamic=False)
    ids_BT = torch.randint(20, shape["vocabulary"], (spec["rows"], prompt)).to(device)
    settings = {
        "max_new_tokens": new,
        "min_new_tokens": new,
        "do_sample": False,
        "pad_token_id": 0,
        "attention_mask": torch.ones_like(ids_BT),
    }
    if spec.get("cache") == "static":
        settings |= {"cache_implementation": "static", "disable_compile": True}
    rounds.about(
        parameters=sum(p.numel() for p in model.parameters()),
        versions={name: metadata.version(name) for name in ("torch", "transformers")},
    )
    for pieces in rounds:
        for _ in range(pieces):
            with torch.no_grad():
                made_BT = model.generate(ids_BT, **settings)
        assert made_BT.shape == (spec["rows"], prompt + new)
        rounds.note(units=pieces * spec["rows"] * new)
