"""C1: training on processors, beside what a user would pick instead.

    python -m benchmarks.train_cpu [--rounds 5] [--nanogpt PATH] [--only mid nano short mix threads loader]

Useful tokens per second of one thread, 1 thread = processor time. Every contestant trains on the same
tokens, at equal width and depth, with fused AdamW; "ours" is the whole training loop of `loretta
train`. nanoGPT is run from a checkout whose path --nanogpt or NANOGPT_PATH gives.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from benchmarks.contest import Entry
from benchmarks.options import fastest, hold, parser, run, wanted
from benchmarks.results import Gate, Result, ratio_gate
from benchmarks.tokens import MIX_VOCABULARY, describe_mix, mix

MID = {"width": 384, "depth": 6, "heads": 6, "tokens": 256, "batch": 8, "vocabulary": 512}
NANO = {"width": 128, "depth": 4, "heads": 4, "tokens": 64, "batch": 12, "vocabulary": 512}
SHORT = {"width": 256, "depth": 6, "heads": 4, "tokens": 48, "batch": 32, "vocabulary": 512}
MIX = MID | {"mix": True, "samples": 512, "batch": 16, "tokens": 512, "vocabulary": MIX_VOCABULARY}
TINY = {"width": 32, "depth": 2, "heads": 2, "tokens": 16, "batch": 2}
"""What replaces the sizes of a shape in a dry run."""

TABLES = {"nano": (NANO, 20), "mid": (MID, 1), "short": (SHORT, 3), "mix": (MIX, 2)}
"""Shape, and steps of a round."""

UNIT = "useful tokens/s"
PRECISIONS = ("fp32", "bf16")


def ours(shape: dict[str, Any], compiled: bool = True, threads: int = 1) -> list[Entry]:
    """The product in both precisions, eager and compiled."""
    entries = []
    for precision in PRECISIONS:
        for compile_ in ("off", "on") if compiled else ("off",):
            name = f"ours {precision}" + (" compiled" if compile_ == "on" else "")
            train = {"compile": compile_, "threads": threads}
            spec = {"shape": shape, "precision": precision, "train": train}
            entries.append(Entry(name, "ours", spec, threads=threads))
    return entries


def peers(table: str, shape: dict[str, Any], nanogpt: str | None) -> list[Entry]:
    """What a user would pick instead."""
    fp32, bf16 = ({"shape": shape, "precision": precision} for precision in PRECISIONS)
    if shape.get("mix"):
        grouped = {"pad": "batch", "grouped": True}
        trainer, hf = "hugging_face_trainer", "hf"
        return [
            Entry("HF Trainer padded to row, fp32", trainer, {**fp32, "pad": "row"}, hf),
            Entry("HF Trainer grouped by length, bf16", trainer, {**bf16, **grouped}, hf),
            Entry("HF Trainer grouped by length, fp32", trainer, {**fp32, **grouped}, hf),
            Entry(
                "transfusion-pytorch fp32", "transfusion", {**fp32, "pad": "batch"}, "transfusion"
            ),
            Entry(
                "x-transformers fp32", "x_transformers", {**fp32, "pad": "batch"}, "x_transformers"
            ),
        ]
    absent = "" if nanogpt else "nanoGPT path not given"
    path = {"path": nanogpt}
    llama, gpt2 = {"model": "llama"}, {"model": "gpt2"}
    entries = [
        Entry("nanoGPT fp32", "nanogpt", fp32 | path, absent=absent),
        Entry("HF Llama fp32", "hugging_face", fp32 | llama, "hf"),
        Entry("HF Llama bf16", "hugging_face", bf16 | llama, "hf"),
        Entry("HF GPT-2 fp32", "hugging_face", fp32 | gpt2, "hf"),
        Entry("HF GPT-2 bf16", "hugging_face", bf16 | gpt2, "hf"),
        Entry("x-transformers fp32", "x_transformers", fp32, "x_transformers"),
        Entry("our model, loop by hand, fp32", "plain_loop", fp32),
    ]
    if table != "short":
        compiled = {"compile": True}
        entries += [
            Entry("nanoGPT fp32 compiled", "nanogpt", fp32 | path | compiled, absent=absent),
            Entry("HF Llama fp32 compiled", "hugging_face", fp32 | llama | compiled, "hf"),
            Entry("HF Llama bf16 compiled", "hugging_face", bf16 | llama | compiled, "hf"),
        ]
    return entries


GATES = (
    ("mid", "HF Llama", Gate("mid: against HF Llama", 1.4, 2.0)),
    ("mid", "nanoGPT fp32", Gate("mid: against nanoGPT as shipped", 2.4, 3.4)),
    (
        "mix",
        "HF Trainer grouped by length",
        Gate("mix: against HF Trainer with length grouping", 1.3, 2.0),
    ),
    ("mix", "HF Trainer padded to row", Gate("mix: against HF Trainer padded to row", 6.0, 8.0)),
    ("nano", "nanoGPT fp32", Gate("nano: against nanoGPT", 1.0, 1.3)),
)


def measure(chosen: argparse.Namespace, result: Result) -> None:
    """All tables, then the gates."""
    result.about = {**result.about, "mix": describe_mix(mix(0, MIX["samples"]))}
    for table, (full, steps) in TABLES.items():
        if wanted(table, chosen.only):
            shape: dict[str, Any] = full | TINY | {"samples": 8} if chosen.dry else dict(full)
            entries = ours(shape, compiled=not chosen.dry) + peers(table, shape, chosen.nanogpt)
            hold(result, chosen, table, UNIT, entries, steps)
    if wanted("threads", chosen.only) and not chosen.dry:
        threads(chosen, result)
    if wanted("loader", chosen.only):
        loading(chosen, result)
    for table, other, gate in GATES:
        if wanted(table, chosen.only):
            result.gates.append(judged(result, gate, table, other))


def judged(result: Result, gate: Gate, table: str, other: str) -> dict[str, Any]:
    """Our fastest row over the fastest of the peer's that begin so."""
    mine, theirs = fastest(result, table, "ours "), fastest(result, table, other)
    return ratio_gate(gate, result.rows, table, mine, theirs) | {"rows": [mine, theirs]}


def threads(chosen: argparse.Namespace, result: Result) -> None:
    """One and two threads of the mid shape, by the clock on the wall."""
    entries = [
        Entry(f"ours {precision}, {count} threads", "ours", spec, threads=count)
        for precision in PRECISIONS
        for count in (1, 2)
        for spec in [{"shape": MID, "precision": precision, "train": {"threads": count}}]
    ]
    hold(result, chosen, "mid by threads", UNIT, entries, 1)
    for precision in PRECISIONS:
        one, two = (f"ours {precision}, {count} threads" for count in (1, 2))
        gate = Gate(f"mid {precision}: two threads against one", 1.7, 1.9)
        result.gates.append(ratio_gate(gate, result.rows, "mid by threads", two, one))


def loading(chosen: argparse.Namespace, result: Result) -> None:
    """One thread of compute with no loader process and with one beside it, by the clock."""
    shape: dict[str, Any] = MID | TINY if chosen.dry else dict(MID)
    names = ("no loader process", "one loader process")
    entries = [
        # Two processors are used, so the clock on the wall counts.
        Entry(
            name,
            "ours_loading",
            {"shape": shape, "precision": "fp32", "workers": workers},
            threads=2,
        )
        for workers, name in enumerate(names)
    ]
    hold(result, chosen, "mid with a loader", UNIT, entries, 1)
    gate = Gate("mid: one loader process against none", 0.9, 0.95)
    result.gates.append(ratio_gate(gate, result.rows, "mid with a loader", names[1], names[0]))


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--nanogpt", default=os.environ.get("NANOGPT_PATH"), metavar="PATH")
    run("train-cpu", options.parse_args(), measure)


if __name__ == "__main__":
    main()
