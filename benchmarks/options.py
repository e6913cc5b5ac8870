"""The options that all commands share, and how a command begins and ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contest import Contest, Entry, contest, rehearsal
from benchmarks.machine import multiplies_bf16
from benchmarks.measuring import wait_until_idle
from benchmarks.results import Result, Row


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """With --rounds, --pieces, --only, --busy-ok, --dry and --out."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=rounds, help="Measured, interleaved.")
    options.add_argument("--pieces", type=int, help="Of work in a round; default: by the table.")
    options.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="Tables that contain one of these."
    )
    options.add_argument(
        "--busy-ok", action="store_true", help="Do not wait for others; the result is not clean."
    )
    options.add_argument(
        "--dry", action="store_true", help="Tiny, one round, ours only; prints, writes nothing."
    )
    options.add_argument(
        "--bf16",
        choices=["auto", "always"],
        default="auto",
        help="auto: rows in bf16 only where the processor multiplies it.",
    )
    options.add_argument("--out", type=Path, help="Result file; default: benchmarks/results.")
    return options


def run(
    name: str, chosen: argparse.Namespace, measure: Callable[[argparse.Namespace, Result], None]
) -> Result:
    """Wait for a quiet machine, measure, print, write.

    Args:
        name: of the experiment.
        chosen: parsed options.
        measure: fills the result; it is written after each table, so that a crash loses little.
    """
    result = Result(name, " ".join(["python -m", _module(), *sys.argv[1:]]))
    if chosen.dry:
        chosen.rounds, chosen.pieces = 1, 1
        result.about = {"dry": True}
    else:
        result.busy_before = wait_until_idle(chosen.busy_ok)
    measure(chosen, result)
    print_summary(result)
    if chosen.out or not chosen.dry:
        print(f"written: {result.write(chosen.out)}", file=sys.stderr)
    return result


def hold(
    result: Result,
    chosen: argparse.Namespace,
    table: str,
    unit: str,
    entries: Sequence[Entry],
    pieces: int,
) -> None:
    """Hold one contest and add it to the result; in a dry run a rehearsal in this process."""
    if chosen.dry:
        found = rehearsal(table, unit, entries)
    else:
        entries = affordable(entries, chosen)
        found = contest(table, unit, entries, chosen.rounds, chosen.pieces or pieces)
    take(result, found)
    if chosen.out and not chosen.dry:
        result.write(chosen.out)


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return str(spec.name).removesuffix(".__main__") if spec else sys.argv[0]


NO_BF16 = "the processor has no bf16 products; --bf16 always measures it"


def affordable(entries: Sequence[Entry], chosen: argparse.Namespace) -> list[Entry]:
    """The entries, those in bf16 marked as absent where the processor lacks its products."""
    slow = chosen.bf16 == "auto" and not chosen.dry and not multiplies_bf16()
    return [
        replace(entry, absent=entry.absent or NO_BF16)
        if slow and entry.spec.get("precision") == "bf16"
        else entry
        for entry in entries
    ]


def wanted(table: str, only: Sequence[str]) -> bool:
    """Whether a table was asked for."""
    return not only or any(text in table for text in only)


def take(result: Result, found: Contest) -> None:
    """Add a contest's rows to a result."""
    result.rows += found.rows
    result.others = [*result.others, *found.others]


def fastest(result: Result, table: str, beginning: str) -> str:
    """The row with the highest median among those whose name begins so: no side is compared in a
    precision that the machine is slow in."""
    found = {
        row.name: row.to_json()["median"]
        for row in result.rows
        if row.table == table and row.name.startswith(beginning) and row.rates
    }
    return max(found, key=lambda name: found[name]) if found else beginning.strip()


def print_summary(result: Result) -> None:
    """Rows and gates, on standard output."""
    for row in result.rows:
        print(f"{row.table:28} {row.name:34} {_rate(row)}")
    for gate in result.gates:
        figure = gate.get("why") or f"{gate['median']:.3g}"
        print(f"gate {gate['name']}: {figure}, must be {gate['gate']}: {gate['verdict']}")


def _rate(row: Row) -> str:
    if row.skipped:
        return f"skipped: {row.skipped}"
    if not row.rates:
        return ", ".join(f"{key} {value}" for key, value in row.facts.items())
    data = row.to_json()
    return f"{data['median']:>10.5g} {row.unit} ({data['min']:.5g} to {data['max']:.5g})"
