"""Which chunk is fastest: one block of Mamba-2, forward and backward, over lengths and widths.

    python plugins/loretta-plugin-mamba/benchmarks/chunk.py --out benchmarks/results/mamba-chunk.json

One thread; CPU time of this process; the chunks take turns, and the least and the median of the
rounds are kept. `chunk: auto` is a rule read off this table, never a timing of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loretta_plugin_mamba.mamba2 import build_mamba2
from loretta_plugin_mamba.settings import Mamba2Settings

from loretta_framework.api import SequenceLayout

CHUNKS = (16, 32, 64, 128, 256)
LENGTHS = (64, 256, 1024)
WIDTHS = (128, 256, 512)
TOKENS = 1024
"""Of a call: shorter rows are more rows."""


class Context:
    """Builds nothing and keeps no notes."""

    def note(self, key: str, choice: str, reason: str) -> None:
        """Not kept."""


def step_of(width: int, length: int, chunk: int) -> Callable[[], None]:
    """One forward and backward pass over `TOKENS` tokens."""
    torch.manual_seed(0)
    context: Any = Context()
    model = build_mamba2(Mamba2Settings(width=width, depth=1, chunk=chunk), context)
    rows = TOKENS // length
    x_BTD = torch.randn(rows, length, width, requires_grad=True)
    documents_BT = torch.arange(rows)[:, None].expand(rows, length).contiguous()
    positions_BT = torch.arange(length).expand(rows, length).contiguous()
    ends = torch.arange(0, TOKENS + 1, length, dtype=torch.int32)
    layout = SequenceLayout(documents_BT, positions_BT, ends, length, packed=False)

    def step() -> None:
        model.zero_grad()
        torch.autograd.backward([model(x_BTD, layout).square().mean()])

    return step


def measure(width: int, length: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds by chunk: the least and the median of the rounds."""
    steps = {chunk: step_of(width, length, chunk) for chunk in CHUNKS if chunk <= length}
    times: dict[int, list[float]] = {chunk: [] for chunk in steps}
    for number in range(rounds + 1):
        for chunk, step in steps.items():
            start = time.process_time()
            step()
            if number:  # the first warms up
                times[chunk].append(1000 * (time.process_time() - start))
    return {
        str(chunk): {"min_ms": round(min(took), 2), "median_ms": round(statistics.median(took), 2)}
        for chunk, took in times.items()
    }


def main() -> None:
    """Write the table as JSON and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    rows = [
        {"width": width, "length": length, "chunks": measure(width, length, given.rounds)}
        for width in WIDTHS
        for length in LENGTHS
    ]
    result = {
        "experiment": "mamba-chunk",
        "tokens": TOKENS,
        "threads": 1,
        "rounds": given.rounds,
        "machine": {
            "processor": platform.machine(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
        "load_before": before,
        "load_after": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rows": rows,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(row["width"], row["length"], row["chunks"])


if __name__ == "__main__":
    main()
