"""D2: what it costs to generate half of every sequence inside the training step.

    python -m benchmarks.rollout [--rounds 3] [--only half cache]

Tokens of training rows per second of processor time, 1 thread. In a transitive step every row is
transitive: from a real segment as prompt another is generated, and the row is that one and a third,
real one. The plain step is causal on rows of the same length and number. The ratio of a contestant's
plain rate to its transitive rate is what generation costs it; eight steps make a round, so that what
is generated for eight at once is shared among them.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.contest import Entry
from benchmarks.options import hold, parser, run, wanted
from benchmarks.results import Gate, Result, ratio_gate

SHAPE = {"width": 384, "depth": 6, "heads": 6, "segment": 32, "batch": 64, "vocabulary": 512}
FEW = SHAPE | {"batch": 8}
"""For generation without a cache, whose cost is by the row."""
TINY = {"width": 32, "depth": 2, "heads": 2, "segment": 4, "batch": 4}
"""What replaces the sizes in a dry run."""

CYCLE = 8
"""Steps of a round: those that share a rollout."""
UNIT = "tokens/s"
HALF, WITHOUT_CACHE = "half generated", "with and without cache"
PLAIN = "ours, plain step"
BATCHED = "ours, every 8"


def entries(shape: dict[str, Any], precision: str) -> list[Entry]:
    """The table of half-generated steps."""

    def ours(name: str, settings: dict[str, Any] | None) -> Entry:
        spec = {"shape": shape, "precision": precision, "settings": settings}
        return Entry(name, "ours_transitive", spec)

    def theirs(name: str, generate: bool) -> Entry:
        spec = {"shape": shape, "precision": precision, "generate": generate}
        return Entry(name, "hugging_face_transitive", spec, "hf")

    return [
        ours(PLAIN, None),
        ours("ours, every 1", {"every": 1}),
        ours(BATCHED, {"every": CYCLE}),
        ours("ours, every 8, reuse_k 2", {"every": CYCLE, "reuse_k": 2}),
        theirs("HF Llama, plain step", generate=False),
        theirs("HF Llama, generate in the loop", generate=True),
    ]


def cached_or_not(shape: dict[str, Any], precision: str) -> list[Entry]:
    """The table of caches, on few rows."""
    specs = {
        name: {"shape": shape, "precision": precision, "settings": {"every": 1}, "cache": cache}
        for name, cache in (("ours, every 1", True), ("no cache", False))
    }
    return [Entry(name, "ours_transitive", spec) for name, spec in specs.items()]


GATES = (
    (HALF, PLAIN, BATCHED, Gate("transitive step / plain step", 1.5, 1.3, higher=False)),
    (HALF, PLAIN, "ours, every 1", Gate("the same, every 1", 1.5, 1.3, higher=False)),
    (HALF, PLAIN, "ours, every 8, reuse_k 2", Gate("the same, reuse_k 2", 1.5, 1.3, higher=False)),
    (
        HALF,
        BATCHED,
        "HF Llama, generate in the loop",
        Gate("speed against HF in the loop", 1.0, 2.0),
    ),
)


def measure(chosen: argparse.Namespace, result: Result) -> None:
    """Both tables, then the gates."""
    tables = {HALF: (SHAPE, entries, CYCLE), WITHOUT_CACHE: (FEW, cached_or_not, 1)}
    for table, (full, make, pieces) in tables.items():
        if not wanted(table, chosen.only):
            continue
        shape: dict[str, Any] = full | TINY if chosen.dry else dict(full)
        hold(result, chosen, table, UNIT, make(shape, chosen.precision), pieces)
    result.about = {**result.about, "shape": SHAPE, "precision": chosen.precision}
    for table, above, below, gate in GATES:
        if wanted(table, chosen.only):
            result.gates.append(ratio_gate(gate, result.rows, table, above, below))


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    run("rollout", options.parse_args(), measure)


if __name__ == "__main__":
    main()
