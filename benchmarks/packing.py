"""P1: packing short samples of several modalities, against padding and against length buckets.

    python -m benchmarks.packing [--rounds 5] [--only layouts planning leak]

The same samples (mean 177 tokens, at most 512) and the same model of 11 M parameters in four layouts:
useful tokens per second of processor time of one thread, and the share of places that hold a token.
Planning is timed alone. The leak test changes one sample of packed lines and counts the others whose
losses differ, bit for bit in float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.contest import Entry
from benchmarks.contestants.packing import LAYOUTS, leaks, rows_of
from benchmarks.machine import versions
from benchmarks.measuring import Spread
from benchmarks.options import hold, parser, run, wanted
from benchmarks.results import Gate, Result, Row, ratio_gate
from benchmarks.tokens import MIX_ROW, MIX_VOCABULARY, mix, mix_ids
from benchmarks.train_cpu import MIX, TINY

TABLE = "layouts"
PRECISION = "fp32"
PLANNED = 20_000
"""Samples of the planning test."""
LOOK_AHEAD = 256
"""Samples that are packed together in it."""

GATES = (
    (LAYOUTS[0], Gate("packed against padded to row", 2.5, 2.9)),
    (LAYOUTS[1], Gate("packed against padded to batch", 1.6)),
)
SHARE = Gate("useful share of packed lines", 0.97, 0.99)
PLANNING = Gate("planning, samples/s", 300e3, 1e6)
LEAK = Gate("samples whose loss another one changes", 0.0, higher=False)


def measure(chosen: argparse.Namespace, result: Result) -> None:
    """Layouts, planning, leak."""
    if wanted(TABLE, chosen.only):
        layouts(chosen, result)
    if wanted("planning", chosen.only):
        planning(result, 500 if chosen.dry else PLANNED, chosen.rounds)
    if wanted("leak", chosen.only):
        result.gates.append(LEAK.judge(Spread.of([float(leaking())])))


def layouts(chosen: argparse.Namespace, result: Result) -> None:
    """The four layouts."""
    shape: dict[str, Any] = MIX | {"batch": 64}
    if chosen.dry:
        shape |= TINY | {"samples": 8, "batch": 4}
    entries = [
        Entry(layout, "packing", {"shape": shape, "layout": layout, "precision": PRECISION})
        for layout in LAYOUTS
    ]
    hold(result, chosen, TABLE, "useful tokens/s", entries, 1)
    for other, gate in GATES:
        result.gates.append(ratio_gate(gate, result.rows, TABLE, LAYOUTS[3], other))


def planning(result: Result, count: int, rounds: int) -> None:
    """How fast lines are planned, and how full they are."""
    from loretta_framework.sequence.packing import best_fit_decreasing

    lengths = [len(mix_ids(sample)) - 1 for sample in mix(0, count)]
    parts = [lengths[start : start + LOOK_AHEAD] for start in range(0, count, LOOK_AHEAD)]
    rates, lines = [], 0
    for _ in range(max(rounds, 1)):
        began = time.process_time()
        lines = sum(len(best_fit_decreasing(part, 2 * MIX_ROW)) for part in parts)
        rates.append(count / (time.process_time() - began))
    share = sum(lengths) / (lines * 2 * MIX_ROW)
    facts = {"useful_share": round(share, 4), "look_ahead": LOOK_AHEAD}
    result.rows.append(Row("planning", "best fit", "samples/s", rates, facts, versions()))
    result.gates.append(PLANNING.judge(Spread.of(rates)))
    result.gates.append(SHARE.judge(Spread.of([share])))


def leaking(count: int = 12) -> int:
    """See `contestants.packing.leaks`; on a small model."""
    from benchmarks.contestants.ours import transformer, world
    from benchmarks.product import assembled

    shape = MIX | TINY | {"vocabulary": MIX_VOCABULARY}
    bounds, pairs = world(shape)
    with assembled(bounds, pairs, transformer(shape)) as trainer:
        rows: Sequence[Any] = rows_of(trainer.model.vocabulary, count)
        return leaks(trainer.model, rows)


def main() -> None:
    """Measure, print and write."""
    run("packing", parser(__doc__, rounds=5).parse_args(), measure)


if __name__ == "__main__":
    main()
