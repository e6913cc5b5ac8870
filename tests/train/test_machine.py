"""What is said when a run goes on with other choices than it began with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

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
    run: Callable[..., FinishedRun],
) -> None:
    folder = run("one").directory
    shutil.rmtree(folder / "checkpoints" / "step-00000016")
    plan = json.loads((folder / "plan.json").read_text())
    (reason,) = [r for r in plan["reasons"] if r["key"] == "backbone.settings.attention"]
    assert reason["choice"] == "sdpa"
    reason["choice"] = "ring"
    (folder / "plan.json").write_text(json.dumps(plan))
    told: list[str] = []
    run("one", resume=True, say=told.append)
    (warning,) = [text for text in told if "bit for bit" in text]
    assert "backbone.settings.attention was ring, but is sdpa (every sum)" in warning
