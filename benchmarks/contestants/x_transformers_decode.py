"""Greedy generation of x-transformers with its cache."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import torch

from benchmarks.contestants.x_transformers import build
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Generate. Spec: shape (prompt, new), rows."""
    package: Any = importlib.import_module("x_transformers")
    shape = spec["shape"]
    net = build(shape | {"tokens": shape["prompt"] + shape["new"]})
    model = package.AutoregressiveWrapper(net).eval()
    ids_BT = torch.randint(20, shape["vocabulary"], (spec["rows"], shape["prompt"]))
    rounds.about(
        parameters=sum(p.numel() for p in net.parameters()),
        versions={name: metadata.version(name) for name in ("torch", "x-transformers")},
    )
    for pieces in rounds:
        for _ in range(pieces):
            with torch.no_grad():
                made_BT = model.generate(ids_BT, shape["new"], temperature=0.0, cache_kv=True)
        assert made_BT.shape == (spec["rows"], shape["new"])
        rounds.note(units=pieces * spec["rows"] * shape["new"])
