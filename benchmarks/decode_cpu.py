"""D1: greedy generation on processors, 1, 16 and 64 rows, prompts of 64 tokens and 128 new ones.

    python -m benchmarks.decode_cpu [--rounds 5] [--only "B 64"]

New tokens per second of processor time of one thread; the model has 11 M parameters. Our rows are
the generation engine that rollouts and `loretta generate` use. The rows "compiled" show why no path
of the product compiles decoding on a processor. Tokens made with the cache are compared with those
made without.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.contest import Entry
from benchmarks.options import fastest, hold, parser, run, wanted
from benchmarks.results import Gate, Result, Row, ratio_gate

SHAPE = {"width": 384, "depth": 6, "heads": 6, "prompt": 64, "new": 128, "vocabulary": 512}
TINY = {"width": 32, "depth": 1, "heads": 2, "prompt": 6, "new": 4}
"""What replaces the sizes in a dry run."""
BATCHES = (1, 16, 64)
NO_CACHE = "no cache, 4 rows"
"""Its rate does not depend on the rows, and 64 of them take minutes."""
UNIT = "new tokens/s"


def entries(shape: dict[str, Any], rows: int) -> list[Entry]:
    """All contestants at so many rows."""
    found = []
    for precision in ("fp32", "bf16"):
        base = {"shape": shape, "rows": rows, "precision": precision}
        llama = base | {"model": "llama"}
        static = llama | {"cache": "static"}
        found += [
            Entry(f"ours {precision}", "ours_decode", base | {"how": "engine"}),
            Entry(f"HF generate {precision}, Llama", "hugging_face_decode", llama, "hf"),
            Entry(f"HF generate {precision}, Llama, static", "hugging_face_decode", static, "hf"),
            Entry(
                f"HF generate {precision}, GPT-2",
                "hugging_face_decode",
                base | {"model": "gpt2"},
                "hf",
            ),
        ]
    fp32 = {"shape": shape, "rows": rows, "precision": "fp32"}
    found += [
        Entry("x-transformers fp32", "x_transformers_decode", fp32, "x_transformers"),
        Entry(NO_CACHE, "ours_decode", fp32 | {"rows": min(rows, 4), "how": "no cache"}),
    ]
    if rows == BATCHES[-1]:
        found.append(Entry("compiled decode, fp32", "ours_decode", fp32 | {"how": "compiled"}))
    return found


GATES = (
    ("B 64", "HF generate", Gate("B 64: against HF generate", 1.0, 2.0)),
    ("B 1", "HF generate", Gate("B 1: against HF generate", 1.3, 2.0)),
    ("B 64", NO_CACHE, Gate("B 64: against no cache", 30.0, 90.0)),
)
COMPILED = Gate("B 64: compiled decode against eager, kept off below 1", 1.0)


def measure(chosen: argparse.Namespace, result: Result) -> None:
    """All numbers of rows, then the gates."""
    for rows in BATCHES:
        table = f"B {rows}"
        if not wanted(f"{table},", [f"{text}," for text in chosen.only]):
            continue
        contestants = entries(
            SHAPE | TINY if chosen.dry else SHAPE, min(rows, 2 if chosen.dry else rows)
        )
        if chosen.dry:
            contestants = [e for e in contestants if "compiled" not in e.name]
        hold(result, chosen, table, UNIT, contestants, {1: 4}.get(rows, 1))
        compare([row for row in result.rows if row.table == table])
    for table, other, gate in GATES:
        if any(row.table == table for row in result.rows):
            mine, theirs = fastest(result, table, "ours "), fastest(result, table, other)
            judged = ratio_gate(gate, result.rows, table, mine, theirs)
            result.gates.append(judged | {"rows": [mine, theirs]})
    if any(row.name.startswith("compiled") for row in result.rows):
        judged = ratio_gate(COMPILED, result.rows, "B 64", "compiled decode, fp32", "ours fp32")
        result.gates.append(judged)


def compare(rows: list[Row]) -> None:
    """Replace the tokens that rows noted by the part of them that the rows without cache made too."""
    sequences = {row.name: row.facts.get("sequence") for row in rows if row.facts.get("sequence")}
    reference = sequences.get(NO_CACHE)
    for row in rows:
        row.facts = {key: value for key, value in row.facts.items() if key != "sequence"}
        made = sequences.get(row.name)
        if made and reference:
            same = sum(a == b for a, b in zip(made, reference, strict=True))
            row.facts = {**row.facts, "same_tokens_as_without_cache": same / len(reference)}


def main() -> None:
    """Measure, print and write."""
    run("decode-cpu", parser(__doc__, rounds=5).parse_args(), measure)


if __name__ == "__main__":
    main()
