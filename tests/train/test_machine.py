"""What is said when a run goes on with other choices than it began with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from loretta_framework.backbones import transformer
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.train.machine import no_longer_bitwise
from loretta_framework.train.run import FinishedRun


@pytest.mark.parametrize(
    "key",
    [
        "machine",
        "device",
        "train.precision",
        "train.threads",
        "backbone.settings.attention",
        "backbone.settings.kernel",
        "backbone.convolution",
    ],
)
def test_a_choice_that_decides_rounding_is_named(key: str) -> None:
    text = no_longer_bitwise([], {key: "one", "data.workers": "1"}, {key: "two"})
    assert text.startswith("from here on the run is not bit for bit")
    assert text.endswith(f": {key} was one, but is two (every sum)")


def test_other_choices_and_new_ones_are_not_named() -> None:
    before = {"data.workers": "1", "backbone.settings.kernel": "reference"}
    now = {"data.workers": "2", "backbone.settings.kernel": "reference", "backbone.new": "x"}
    assert no_longer_bitwise([], before, now) == ""


def test_resuming_with_another_attention_warns_of_the_bits(
    run: Callable[..., FinishedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(settings: TransformerSettings, context: Any) -> transformer.Transformer:
        context.note("backbone.settings.attention", "matmul", "as on another machine")
        return transformer.Transformer(settings, "matmul")

    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(transformer, "build_transformer", build)
        folder = run("one").directory
    shutil.rmtree(folder / "checkpoints" / "step-00000016")
    told: list[str] = []
    run("one", resume=True, say=told.append)
    (warning,) = [text for text in told if "bit for bit" in text]
    assert "backbone.settings.attention was matmul, but is auto (every sum)" in warning
