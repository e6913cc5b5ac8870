"""M1: Mamba-2 on processors beside transformers' Mamba-2 and our own Transformer.

    python -m benchmarks.mamba [--rounds 5] [--only "T 1024" decode]

4 layers of width 256, sequences of 256, 1024 and 4096 tokens, 4096 tokens a step; useful tokens per
second of processor time of one thread. The tables "decode" generate 128 tokens behind 64 for 16 rows.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.contest import Entry
from benchmarks.decode_cpu import compare
from benchmarks.options import fastest, hold, parser, run, wanted
from benchmarks.results import Gate, Result, ratio_gate

SHAPE = {"width": 256, "depth": 4, "heads": 4, "vocabulary": 512}
STEP = 4096
LENGTHS = (256, 1024, 4096)
DECODE = {"prompt": 64, "new": 128, "tokens": 192}
ROWS = 16
TINY = {"width": 64, "depth": 1, "heads": 2}
"""What replaces the sizes in a dry run."""
UNIT = "useful tokens/s"
OURS, TRANSFORMER = "ours, Mamba-2", "ours, Transformer"
HF, HF_TUNED = "HF Mamba-2 as shipped", "HF Mamba-2 in chunks of 64"
"""As shipped its chunks have 256 tokens. Chunks as short as ours are faster: a user has to know."""


def mamba2(shape: dict[str, Any]) -> dict[str, Any]:
    """The plugin's Mamba-2 of a shape."""
    settings = {"width": shape["width"], "depth": shape["depth"], "head_dim": 64, "state": 64}
    return {"kind": "mamba.mamba2", "settings": settings}


def hugging_face(base: dict[str, Any], chunk: int) -> dict[str, Any]:
    """What transformers' Mamba-2 is given: of the same shape, with chunks of so many tokens."""
    return base | {"model": "mamba2", "shape": base["shape"] | {"chunk": chunk}}


def training(shape: dict[str, Any]) -> list[Entry]:
    """Contestants at training."""
    found = []
    for precision in ("fp32", "bf16"):
        base = {"shape": shape, "precision": precision}
        found += [
            Entry(f"{OURS}, {precision}", "ours", base | {"backbone": mamba2(shape)}),
            Entry(f"{TRANSFORMER}, {precision}", "ours", base),
            Entry(f"{HF}, {precision}", "hugging_face", hugging_face(base, 256), "hf"),
            Entry(f"{HF_TUNED}, {precision}", "hugging_face", hugging_face(base, 64), "hf"),
        ]
    return found


def decoding(shape: dict[str, Any], rows: int) -> list[Entry]:
    """Contestants at generation."""
    base = {"shape": shape, "rows": rows, "precision": "fp32", "how": "engine"}
    return [
        Entry(f"{OURS}, fp32", "ours_decode", base | {"backbone": mamba2(shape)}),
        Entry(f"{TRANSFORMER}, fp32", "ours_decode", base),
        Entry(f"{HF_TUNED}, fp32", "hugging_face_decode", hugging_face(base, 64), "hf"),
    ]


GATES = (
    ("T 256", HF, Gate("T 256: training against HF Mamba-2 as shipped", 2.0, 3.0)),
    ("T 1024", TRANSFORMER, Gate("T 1024: training against our Transformer", 1.0, 1.3)),
)


def measure(chosen: argparse.Namespace, result: Result) -> None:
    """All lengths, decoding, then the gates."""
    for tokens in LENGTHS:
        if wanted(f"T {tokens}", chosen.only):
            shape: dict[str, Any] = SHAPE | {"tokens": tokens, "batch": STEP // tokens}
            if chosen.dry:
                shape |= TINY | {"tokens": tokens // 16, "batch": 1}
            hold(result, chosen, f"T {tokens}", UNIT, training(shape), 1)
    if wanted("decode", chosen.only):
        shape = SHAPE | DECODE
        if chosen.dry:
            shape |= TINY | {"prompt": 6, "new": 4}
        contestants = decoding(shape, 2 if chosen.dry else ROWS)
        table = f"decode, {ROWS} rows"
        hold(result, chosen, table, "new tokens/s", contestants, 1)
        compare([row for row in result.rows if row.table == table])
    for table, other, gate in GATES:
        if wanted(table, chosen.only):
            mine, theirs = fastest(result, table, OURS), fastest(result, table, other)
            judged = ratio_gate(gate, result.rows, table, mine, theirs)
            result.gates.append(judged | {"rows": [mine, theirs]})


def main() -> None:
    """Measure, print and write."""
    run("mamba", parser(__doc__, rounds=5).parse_args(), measure)


if __name__ == "__main__":
    main()
