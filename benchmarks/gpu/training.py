"""G1: training on the device, ours beside what a user would pick instead; and D2, the rollouts."""

from __future__ import annotations

import argparse
import importlib.util
from typing import Any

from benchmarks import rollout
from benchmarks.contest import Contest, Entry, contest, rehearsal
from benchmarks.measuring import Spread
from benchmarks.results import Gate, Result, Row, ratio_gate

UNIT = "tokens/s"
SMALL = {"width": 768, "depth": 12, "heads": 12, "tokens": 1024, "batch": 16, "vocabulary": 50_304}
LARGE = {"width": 2048, "depth": 16, "heads": 16, "tokens": 2048, "batch": 4, "vocabulary": 32_000}
TINY = {"width": 32, "depth": 1, "heads": 2, "tokens": 16, "batch": 2, "vocabulary": 64}
"""What replaces the sizes in a dry run."""
TRANSITIVE = {"width": 768, "depth": 12, "heads": 12, "segment": 256, "batch": 128}
TINY_TRANSITIVE = {"width": 32, "depth": 1, "heads": 2, "segment": 4, "batch": 4}

PEAK_TFLOPS = 989.0
"""Dense bfloat16 of an H100 or H200, by the datasheet."""
CORES = 4
"""Processor threads of each contestant; more than one, so that rates are by the clock on the wall."""
WARM_UP, STEPS = 20, 10

G1_SMALL, G1_LARGE, D2 = "124 M", "1 B", "half generated"
PLAIN, BATCHED = "ours, plain step", "ours, every 8"


def contestants(
    shape: dict[str, Any], device: str, nanogpt: str | None, large: bool
) -> list[Entry]:
    """All at one shape; of the large model, whose optimiser takes 16 GB, only those that matter."""
    shape = shape | {"distinct": 8}
    base = {"shape": shape, "precision": "bf16", "device": device}

    def ours(compile_: str) -> dict[str, Any]:
        return base | {"train": {"compile": compile_, "threads": CORES}}

    hf = base | {"model": "llama", "compile": device != "cpu"}
    path = "" if nanogpt else "nanoGPT path not given"
    no_hf = "" if importlib.util.find_spec("transformers") else "transformers is not installed"
    compiled = base | {"path": nanogpt, "compile": True}
    found = [
        Entry("ours compiled", "ours", ours("off" if device == "cpu" else "on"), threads=CORES),
        Entry("HF Llama compiled", "hugging_face", hf, threads=CORES, absent=no_hf),
    ]
    if large:
        return found
    trainer = base | {"pad": "batch", "compile": device != "cpu"}
    return [
        *found,
        Entry("ours", "ours", ours("off"), threads=CORES),
        Entry("our model, loop by hand", "plain_loop", base, threads=CORES),
        Entry("nanoGPT compiled", "nanogpt", compiled, threads=CORES, absent=path),
        Entry("HF Trainer", "hugging_face_trainer", trainer, threads=CORES, absent=no_hf),
    ]


def train(
    result: Result, chosen: argparse.Namespace, device: str, large: bool, deadline: float
) -> None:
    """One shape of G1: rows, shares of the device's rate, gates."""
    table = G1_LARGE if large else G1_SMALL
    shape = TINY if chosen.dry else (LARGE if large else SMALL)
    entries = contestants(dict(shape), device, chosen.nanogpt, large)
    if chosen.dry:
        entries = [e for e in entries if e.absent or e.contestant in ("ours", "plain_loop")]
    held = _held(table, entries, chosen, deadline)
    for row in held.rows:
        row.facts = {**row.facts, **shares(row, shape, result)}
    result.rows += held.rows
    best = "ours compiled"
    if large:
        result.gates.append(rate(result, Gate("1 B: tokens/s", 50e3, 65e3), table, best))
        return
    result.gates += [
        rate(result, Gate("124 M: tokens/s", 450e3, 600e3), table, best),
        ratio_gate(
            Gate("124 M: against nanoGPT compiled", 1.0, 1.1),
            held.rows,
            table,
            best,
            "nanoGPT compiled",
        ),
        ratio_gate(
            Gate("124 M: against HF Trainer", 1.25, 1.5), held.rows, table, best, "HF Trainer"
        ),
        ratio_gate(
            Gate("124 M: our loop against one by hand, eager", 0.98, 0.995),
            held.rows,
            table,
            "ours",
            "our model, loop by hand",
        ),
    ]


def _held(
    table: str,
    entries: list[Entry],
    chosen: argparse.Namespace,
    deadline: float,
    steps: int = STEPS,
) -> Contest:
    if chosen.dry:
        return rehearsal(table, UNIT, entries)
    warm_up = WARM_UP if steps == STEPS else steps
    return contest(
        table, UNIT, entries, chosen.rounds, steps, warm_up, together=True, deadline=deadline
    )


def rate(result: Result, gate: Gate, table: str, name: str) -> dict[str, Any]:
    """A gate on a rate itself."""
    row = next((row for row in result.rows if (row.table, row.name) == (table, name)), None)
    if row is None or not row.rates:
        return gate.judge(None, "was not run" if row is None else row.skipped)
    return gate.judge(Spread.of(row.rates))


def flops_per_token(parameters: int, shape: dict[str, Any]) -> float:
    """6 N for the products with weights, 12 L D T for attention; forward and backward.

    Embeddings that are only looked up are not counted: of two tables of V x D one is.
    """
    looked_up = shape["vocabulary"] * shape["width"]
    attention: int = 12 * shape["depth"] * shape["width"] * shape["tokens"]
    return float(6 * max(parameters - looked_up, 1) + attention)


def shares(row: Row, shape: dict[str, Any], result: Result) -> dict[str, float]:
    """Of the datasheet's rate and of the product measured in the same run."""
    if not row.rates or "parameters" not in row.facts:
        return {}
    tied = 1 if row.name.startswith("nanoGPT") else 0  # one table is both, and is multiplied
    parameters = row.facts["parameters"] + tied * shape["vocabulary"] * shape["width"]
    tflops = row.to_json()["median"] * flops_per_token(parameters, shape) / 1e12
    found = {"tflops": round(tflops, 1), "share_of_989": round(tflops / PEAK_TFLOPS, 4)}
    product = next(
        (r.facts.get("tflops") for r in result.rows if r.name == "product, bf16" and r.facts), None
    )
    return found | ({"share_of_product": round(tflops / product, 4)} if product else {})


def transitive(result: Result, chosen: argparse.Namespace, deadline: float) -> None:
    """D2 on the device: the step with half of the sequence generated over the plain one."""
    shape = (TINY_TRANSITIVE if chosen.dry else TRANSITIVE) | {"vocabulary": 1024}
    entries = [
        Entry(e.name, e.contestant, e.spec, e.environment, CORES, e.absent)
        for e in rollout.entries(dict(shape), "fp32" if chosen.dry else "bf16")
        if e.name in (PLAIN, BATCHED, "ours, every 8, reuse_k 2")
    ]
    held = _held(D2, entries, chosen, deadline, steps=rollout.CYCLE)
    result.rows += held.rows
    gate = Gate("transitive step / plain step", 2.2, 1.4, higher=False)
    result.gates.append(ratio_gate(gate, held.rows, D2, PLAIN, BATCHED))
