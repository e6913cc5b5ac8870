"""Gap closed: arithmetic, intervals, and the ways in which it cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from loretta_framework.api.errors import InputError
from loretta_framework.evaluate.gap import gap_closed, require_same_data


def evaluation(
    accuracy: float | None, half: float = 0.02, observed: bool = False
) -> dict[str, Any]:
    metric = accuracy and {"value": accuracy, "interval": [accuracy - half, accuracy + half]}
    seen = {"value": 0.9, "interval": [0.8, 1.0]}
    return {
        "data_hash": "d" * 64,
        "edges": [
            {"source": "", "target": "image", "observed": False, "class_accuracy": metric},
            {"source": "text", "target": "image", "observed": True, "class_accuracy": seen},
            {
                "source": "speech",
                "target": "image",
                "observed": observed,
                "class_accuracy": metric,
                "nats_per_sample": {"value": 30.0, "interval": [29.0, 31.0]},
            },
        ],
    }


def test_the_gap_is_the_part_of_the_way_from_baseline_to_oracle() -> None:
    found = gap_closed(evaluation(0.59), evaluation(0.133), evaluation(0.708, observed=True))
    (edge,) = found["edges"]
    assert (edge["source"], edge["target"]) == ("speech", "image")
    gap = edge["class_accuracy"]
    assert gap["value"] == pytest.approx((0.59 - 0.133) / (0.708 - 0.133))
    assert (gap["run"], gap["baseline"], gap["oracle"]) == (0.59, 0.133, 0.708)
    # The delta method by hand: the error of each arm is 0.02 / 1.96.
    error, way, part = 0.02 / 1.96, 0.708 - 0.133, gap["value"]
    spread = error / way * (1 + (1 - part) ** 2 + part**2) ** 0.5
    expected = [part - 1.96 * spread, part + 1.96 * spread]
    assert gap["interval"] == pytest.approx(expected, abs=0.01)
    assert "independent" in found["interval_method"]


def test_nats_have_no_gap_and_seen_edges_have_none() -> None:
    found = gap_closed(evaluation(0.5), evaluation(0.1), evaluation(0.7))
    assert len(found["edges"]) == 1
    assert set(found["edges"][0]) == {"source", "target", "class_accuracy"}


def test_an_arm_without_the_figure_or_without_a_gap_gives_null_and_the_reason() -> None:
    missing = gap_closed(evaluation(0.5), evaluation(0.1), evaluation(None))["edges"][0]
    assert missing["class_accuracy"] is None
    assert missing["class_accuracy_reason"] == "not measured in the oracle"
    flat = gap_closed(evaluation(0.5), evaluation(0.4), evaluation(0.4))["edges"][0]
    assert flat["class_accuracy"] is None
    assert "no gap to close" in flat["class_accuracy_reason"]


def test_arms_on_other_data_are_refused() -> None:
    require_same_data("d" * 64, {"runs/base": evaluation(0.5)})
    with pytest.raises(InputError, match=r"runs/base: .*same data.*dddddddddddd, not eeeeeeeeeeee"):
        require_same_data("e" * 64, {"runs/base": evaluation(0.5)})
