"""bfloat16 autocast: trains, generates and resumes; the weights stay float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.recipe.load import load_recipe
from loretta_framework.train.numerics import choose_numerics
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]


def test_bf16_follows_float32_and_keeps_float32_weights(run: Runner) -> None:
    full = run("full", "train.precision=fp32")
    half = run("half", "train.precision=bf16")
    assert half.metrics["loss"] == pytest.approx(full.metrics["loss"], rel=0.05)
    assert half.metrics["loss"] != full.metrics["loss"]
    saved = load_checkpoint(half.directory / "checkpoints" / "step-00000016").tensors["model"]
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("amx", "width", "bf16", "why"),
    [
        (True, 256, True, "the CPU multiplies bfloat16 and width 256 >= 256"),
        (True, 128, False, "width 128 < 256: casts would cost more"),
        (False, 512, False, "the hardware has no bfloat16 products"),
    ],
)
def test_the_choice_follows_flags_and_width(
    world: object, monkeypatch: pytest.MonkeyPatch, amx: bool, width: int, bf16: bool, why: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    told: list[tuple[str, str, str]] = []
    recipe = load_recipe(f"{world}/small.yaml").recipe
    numerics = choose_numerics(recipe, width, lambda *reason: told.append(reason))
    assert numerics.bf16 is bf16
    assert ("train.precision", "bf16" if bf16 else "fp32", why) in told
