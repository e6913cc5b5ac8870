"""A result file: machine, versions, rows with their rounds, and gates met or missed.

Rows that lost and rows that could not be measured are kept, the latter with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, commit, describe_machine, today, versions
from benchmarks.measuring import OTHERS_SHARE, Spread

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(slots=True)
class Row:
    """One contestant at one piece of work.

    Attributes:
        table: the piece of work.
        name: the contestant, "ours" first among them.
        unit: of the rates.
        rates: one a round; more is better. Empty where it was skipped, or is a check with facts.
        facts: what else was measured: loss, parameters, agreement of outputs.
        versions: of its packages.
        skipped: why there are no rates.
    """

    table: str
    name: str
    unit: str
    rates: Sequence[float] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = {"table": self.table, "name": self.name, "unit": self.unit}
        if self.skipped:
            return data | {"skipped": self.skipped}
        if not self.rates:
            return data | {"facts": dict(self.facts)}
        rates = [float(f"{rate:.6g}") for rate in self.rates]
        data |= {"rounds": rates, **Spread.of(self.rates).to_json()}
        return data | {"facts": dict(self.facts), "versions": dict(self.versions)}


@dataclass(frozen=True, slots=True)
class Gate:
    """What a figure must reach.

    Attributes:
        name: what is compared with what.
        gate: the figure that must be reached.
        moonshot: the one that is hoped for; None where none is set.
        higher: whether more is better.
    """

    name: str
    gate: float
    moonshot: float | None = None
    higher: bool = True

    def judge(self, found: Spread | None, why: str = "") -> dict[str, Any]:
        """The figure beside its gate, with the verdict: moonshot, met, missed or not measured.

        Args:
            found: over the rounds; the median counts.
            why: there is none.
        """
        data: dict[str, Any] = {"name": self.name, "gate": self.gate, "moonshot": self.moonshot}
        data["better"] = "higher" if self.higher else "lower"
        if found is None:
            return data | {"verdict": "not measured", "why": why}
        sign = 1 if self.higher else -1
        verdict = "missed" if sign * found.median < sign * self.gate else "met"
        if verdict == "met" and self.moonshot is not None:
            verdict = "moonshot" if sign * found.median >= sign * self.moonshot else "met"
        return data | {**found.to_json(), "verdict": verdict}


def ratio_gate(
    gate: Gate, rows: Sequence[Row], table: str, ours: str, other: str
) -> dict[str, Any]:
    """A gate on the rate of one row over that of another, round by round."""
    found = {row.name: row for row in rows if row.table == table}
    above, below = found.get(ours), found.get(other)
    for name, row in ((ours, above), (other, below)):
        if row is None or not row.rates:
            why = "was not run" if row is None else row.skipped
            return gate.judge(None, f"{name}: {why}")
    assert above is not None
    assert below is not None
    return gate.judge(Spread.of_ratios(above.rates, below.rates))


@dataclass(slots=True)
class Result:
    """All that one command measured.

    Attributes:
        name: of the experiment; names the file.
        command: how to measure it again.
        rows: see `Row`.
        gates: from `Gate.judge`.
        busy_before: share of the processors that others used before the start; None: unknown.
        others: the same while each round ran.
        about: what else a reader must know.
    """

    name: str
    command: str
    rows: list[Row] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)
    busy_before: float | None = None
    others: Sequence[float] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nobody else used the machine; False where that is not known."""
        return self.busy_before is not None and all(
            share <= OTHERS_SHARE for share in (self.busy_before, *self.others)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "date": today(),
            "command": self.command,
            "commit": commit(),
            "machine": describe_machine(),
            "versions": versions(),
            "clean": self.clean,
            "others": {
                "before": None if self.busy_before is None else round(self.busy_before, 3),
                "most": round(max(self.others, default=0.0), 3),
            },
            "about": dict(self.about),
            "rows": [row.to_json() for row in self.rows],
            "gates": self.gates,
        }

    def write(self, out: Path | None = None) -> Path:
        """Into `out`, or `benchmarks/results/<date>-<name>.json`; written aside and renamed."""
        out = out or RESULTS / f"{today()}-{self.name}.json"
        aside = out.with_suffix(".tmp")
        aside.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        os.replace(aside, out)
        return out
