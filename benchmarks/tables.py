"""Makes the tables of docs/benchmarks.md from the newest result of each experiment.

    python -m benchmarks.tables [--check]

Between `<!-- table: NAME -->` and `<!-- end -->` stands what is made here; all else is written by hand.
NAME is that of a result, `benchmarks/results/<date>-NAME.json`. With --check nothing is written, and a
page that is not what the results give is an error.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import backbones
from benchmarks.machine import ROOT
from benchmarks.results import RESULTS

PAGE = ROOT / "docs" / "benchmarks.md"
_MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOTHING = "-"
"""Stands where there is no figure."""
_SHOWN = ("loss", "useful_share", "same_tokens_as_without_cache", "peak_gb", "share_of_product")
"""Facts of a row that are worth a column."""


def newest(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The last result of an experiment by its date; None where there is none."""
    files = sorted(folder.glob(f"????-??-??-{name}.json"))
    data: dict[str, Any] | None = json.loads(files[-1].read_text()) if files else None
    return data


def page(text: str, folder: Path = RESULTS) -> str:
    """The page with its tables made anew."""

    def made(found: re.Match[str]) -> str:
        result = newest(found[2], folder)
        lines = ["_Not measured yet._"] if result is None else list(tables(result))
        return found[1] + "\n" + "\n".join(lines) + "\n\n" + found[3]

    return _MARKED.sub(made, text)


def tables(result: dict[str, Any]) -> Iterator[str]:
    """Markdown lines: where it was measured, the gates, then a table for each piece of work."""
    if "backbones" in result:
        yield from backbones.table(result)
        return
    yield _about(result)
    yield ""
    if result["gates"]:
        yield from gates(result["gates"])
    for table in dict.fromkeys(row["table"] for row in result["rows"]):
        yield ""
        yield from rows(table, [row for row in result["rows"] if row["table"] == table])


def _about(result: dict[str, Any]) -> str:
    machine = result["machine"]
    device = result.get("about", {}).get("device", {}).get("name")
    where = device or f"{machine['processor']}, {machine['cores']} cores"
    flags = ", ".join(machine["flags"]) or "none of those that matter"
    used = f"others used at most {result['others']['most']:.0%} of it"
    clean = "clean" if result["clean"] else "not clean"
    held = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"{result['date']}, {where} ({flags}); {held}; commit {result['commit']}; "
        f"{clean}: {used}. `{result['command']}`"
    )


def gates(found: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each gate."""
    yield "| gate | measured (min to max) | gate | moonshot | verdict |"
    yield "|---|---|---|---|---|"
    for gate in found:
        sign = "≥" if gate["better"] == "higher" else "≤"
        moonshot = NOTHING if gate["moonshot"] is None else f"{sign} {_number(gate['moonshot'])}"
        measured = gate.get("why") or f"{_number(gate['median'])} ({_range(gate)})"
        compared = "<br>" + " / ".join(gate["rows"]) if gate.get("rows") else ""
        yield (
            f"| {_cell(gate['name'] + compared)} | {_cell(measured)} | {sign} {_number(gate['gate'])} | "
            f"{moonshot} | {'**' * (gate['verdict'] == 'missed')}{gate['verdict']}"
            f"{'**' * (gate['verdict'] == 'missed')} |"
        )


def rows(table: str, found: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each contestant; a column for each fact that one of them has."""
    unit = next((row["unit"] for row in found if row["unit"]), "")
    shown = [fact for fact in _SHOWN if any(fact in row.get("facts", {}) for row in found)]
    if not unit:
        yield from _checks(table, found)
        return
    yield f"| {_cell(table)} | {unit}, median | min to max |{''.join(f' {_words(s)} |' for s in shown)}"
    yield "|---|---|---|" + "---|" * len(shown)
    for row in found:
        if "median" not in row:
            why = row.get("skipped", "")
            yield f"| {_cell(row['name'])} | {NOTHING} | {_cell('skipped: ' + why)} |" + " |" * len(
                shown
            )
            continue
        facts = "".join(f" {_number(row['facts'].get(fact))} |" for fact in shown)
        yield f"| {_cell(row['name'])} | {_number(row['median'])} | {_range(row)} |{facts}"


def _checks(table: str, found: list[dict[str, Any]]) -> Iterator[str]:
    yield f"| {_cell(table)} | result |"
    yield "|---|---|"
    for row in found:
        facts = {k: v for k, v in row.get("facts", {}).items() if k not in ("took_s", "bound")}
        text = ", ".join(f"{_words(key)} {_number(value)}" for key, value in facts.items())
        yield f"| {_cell(row['name'])} | {_cell(row.get('skipped') or text)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _words(key: str) -> str:
    return key.replace("_", " ")


def _range(figures: dict[str, Any]) -> str:
    return f"{_number(figures['min'])} to {_number(figures['max'])}"


def _number(value: Any) -> str:
    """Three significant digits, or all before the point."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    made = page(text)
    if chosen.check and made != text:
        raise SystemExit(f"{PAGE} is not what the results give; run python -m benchmarks.tables")
    if not chosen.check:
        PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
