"""How much of the gap between a baseline arm and an oracle arm a run closes.

(run - baseline) / (oracle - baseline) on the pairs that the run never saw together, for figures of
generations and of source ranking; never from nats, where the baseline is worse than the marginal
and even a run over a broken link repairs that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import InputError
from loretta_framework.api.random import generator
from loretta_framework.evaluate.intervals import figure
from loretta_framework.evaluate.report import find_edge

METRICS = ("class_accuracy", "retrieval_at_1")

INTERVAL_METHOD = (
    "normal errors of the three figures, from their own intervals, carried through the ratio as if "
    "independent; arms share test samples, so the interval errs on the wide side"
)

_DRAWS = 20_000
_HALF_WIDTHS = 2 * 1.959964
"""Standard errors that a 95 % interval spans."""


def require_same_data(data_hash: str, arms: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `InputError` when an arm was evaluated on other data.

    Args:
        data_hash: of the data at hand.
        arms: run directory -> its evaluation file.
    """
    for where, evaluation in arms.items():
        if evaluation["data_hash"] != data_hash:
            raise InputError(
                f"the runs must be evaluated on the same data, but its data_hash is "
                f"{evaluation['data_hash'][:12]}, not {data_hash[:12]}",
                where=where,
                fix="evaluate it on the same test shards and label "
                f"(loretta evaluate {where} --data ... --label ...)",
            )


def gap_closed(
    evaluation: Mapping[str, Any],
    baseline: Mapping[str, Any],
    oracle: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """The gap closed on every unobserved directed edge, with intervals; plain data.

    A figure is None beside a reason where an arm lacks it, or the oracle is not above the baseline.
    """
    entries = []
    for entry in evaluation["edges"]:
        if entry["observed"] or not entry["source"]:
            continue
        source, target = entry["source"], entry["target"]
        found: dict[str, Any] = {"source": source, "target": target}
        low, high = (find_edge(arm["edges"], source, target) for arm in (baseline, oracle))
        for metric in METRICS:
            if metric in entry:
                found |= _closed(metric, entry, low, high, seed)
        entries.append(found)
    return {"edges": entries, "interval_method": INTERVAL_METHOD}


def _closed(
    metric: str,
    entry: Mapping[str, Any],
    low: Mapping[str, Any],
    high: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    arms = {"run": entry, "baseline": low, "oracle": high}
    figures: dict[str, Any] = {name: arm.get(metric) for name, arm in arms.items()}
    missing = [name for name, found in figures.items() if not found]
    if missing:
        return {metric: None, f"{metric}_reason": f"not measured in the {' and '.join(missing)}"}
    values = {name: float(found["value"]) for name, found in figures.items()}
    if values["oracle"] <= values["baseline"]:
        reason = "the oracle is not above the baseline, so there is no gap to close"
        return {metric: None, f"{metric}_reason": reason}
    draw = generator(seed, "evaluate/gap", entry["source"], entry["target"], metric)
    drawn = {name: _drawn(found, draw) for name, found in figures.items()}
    ratios = (drawn["run"] - drawn["baseline"]) / (drawn["oracle"] - drawn["baseline"])
    bounds = np.quantile(ratios, [0.025, 0.975])
    value = (values["run"] - values["baseline"]) / (values["oracle"] - values["baseline"])
    return {metric: {**figure(value, *map(float, bounds)), **values}}


def _drawn(found: Mapping[str, Any], draw: np.random.Generator) -> NDArray[np.float64]:
    low, high = found["interval"]
    error = (high - low) / _HALF_WIDTHS
    values_R: NDArray[np.float64] = found["value"] + error * draw.standard_normal(_DRAWS)
    return values_R
