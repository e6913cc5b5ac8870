"""Loader processes that share no memory with their parent find plugins and give the same samples."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loretta_framework.api.specs import Bounds
from loretta_framework.data.loader import Loader
from loretta_framework.recipe.plan import Plan
from loretta_framework.registry import Builder, Registry
from loretta_framework.sequence.vocabulary import Vocabulary

Write = Callable[..., tuple[str, ...]]

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("image.pixels", {"height": 4, "width": 4, "channels": 1}),
    "text": ("text_bytes", {"max_tokens": 12}),
}
BOUNDS = {"image": Bounds(256, 16, 16), "text": Bounds(256, 1, 12)}


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, "L").save(file, "png")
    return file.getvalue()


@pytest.fixture
def built(write: Write, toy: SimpleNamespace) -> tuple[Plan, dict[str, Any]]:
    builder = Builder(Registry.discover(["image"]))
    modalities = {n: builder.build_spec("modality", k, s) for n, (k, s) in KINDS.items()}
    members = {
        f"{n:02d}": {"image.png": picture(n), "text.txt": f"text {n}".encode()} for n in range(20)
    }
    members["07"]["image.png"] = b"no picture"
    plan = toy.plan([toy.set("set", write("set", members))], steps=12, names=tuple(KINDS))
    return replace(plan, vocabulary=Vocabulary.build(BOUNDS)), modalities


def stream(steps: Any) -> list[Any]:
    return [
        (task, s.key, s.position, [(name, ids.tolist()) for name, ids in s.parts])
        for samples in steps
        for task, given in samples.items()
        for s in given
    ]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_every_start_method_gives_the_same_samples(
    method: str, built: tuple[Plan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, modalities = built
    whole = stream(Loader(plan, modalities, None, 0).steps(0, 12))
    assert {len(parts) for *_, parts in whole} == {2}
    run = tmp_path / method
    run.mkdir()
    loader = Loader(plan, modalities, run, 2, start_method=method)
    assert stream(loader.steps(0, 12)) == whole
    assert '"key": "07"' in (run / "quarantine.jsonl").read_text()
    assert not multiprocessing.active_children()
