"""loretta_framework: the training loop that `loretta train` runs, whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.machine import versions
from benchmarks.product import assembled, feed
from benchmarks.rounds import Rounds
from benchmarks.tokens import FIRST, MIX, mix, repeated
from loretta_framework.api.specs import Bounds
from loretta_framework.sequence.rows import TokenizedSample

Steps = Iterator[dict[str, list[TokenizedSample]]]


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, compile, layout, and the backbone where it is another."""
    shape = spec["shape"]
    backbone = spec.get("backbone") or transformer(shape)
    train = {"precision": spec["precision"], **spec.get("train", {})}
    bounds, pairs = world(shape)
    with assembled(bounds, pairs, backbone, train=train) as trainer:
        rounds.about(
            parameters=sum(p.numel() for p in trainer.model.parameters()), versions=versions()
        )
        feed(trainer, rounds, samples(shape))


def transformer(shape: dict[str, Any]) -> dict[str, Any]:
    """The built-in Transformer of a shape."""
    settings = {"width": shape["width"], "depth": shape["depth"], "heads": shape["heads"]}
    return {"kind": "transformer", "settings": settings | shape.get("settings", {})}


def world(shape: dict[str, Any]) -> tuple[dict[str, Bounds], list[tuple[str, ...]]]:
    """Modalities and data sets of a shape: those of the mix, or one of sequences of one length."""
    if shape.get("mix"):
        names = list(MIX)
        pairs: list[tuple[str, ...]] = [
            (a, b) for a, b in zip(names, names[1:] + names[:1], strict=True)
        ]
        return {name: Bounds(*sizes) for name, sizes in MIX.items()}, pairs
    tokens = shape["tokens"]
    return {"tokens": Bounds(shape["vocabulary"] - FIRST, tokens, tokens)}, [("tokens",)]


def samples(shape: dict[str, Any], seed: int = 0) -> Steps:
    """The samples of each step, without end."""
    if shape.get("mix"):
        yield from _mixed(shape, seed)
    for ids_BT in repeated(seed, shape):
        contents = (ids_T[1:] - FIRST for ids_T in ids_BT)
        yield {
            "causal": [
                TokenizedSample(f"set/{number}", (("tokens", ids_T),), number, ordered=True)
                for number, ids_T in enumerate(contents)
            ]
        }


def _mixed(shape: dict[str, Any], seed: int) -> Steps:
    made = [
        TokenizedSample(f"set/{number}", tuple(parts), number, ordered=True)
        for number, parts in enumerate(mix(seed, shape["samples"]))
    ]
    batch = shape["batch"]
    while True:
        for start in range(0, len(made) - batch + 1, batch):
            yield {"causal": made[start : start + batch]}
