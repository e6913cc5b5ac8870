"""`loretta evaluate`: judge a trained model on test data."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = {
    "nats_per_sample": "nats a sample",
    "nats_per_token": "nats a token",
    "class_accuracy": "class accuracy",
    "chained_class_accuracy": "over the bridge",
    "within_class_variance_ratio": "variance ratio",
    "retrieval_at_1": "retrieval@1",
}
"""Metrics shown in the table; the file holds all."""

PLAIN_WIDTH = 160
"""Columns of a table that does not go to a terminal."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data",
    multiple=True,
    metavar="SHARDS",
    help="Shards to judge on instead of the recipe's test sets; a pattern, may be repeated.",
)
@click.option("--label", metavar="PATH", help="Where a sample's class stands, e.g. meta.digit.")
@click.option("--baseline", type=click.Path(path_type=Path), metavar="RUN", help="Baseline arm.")
@click.option("--oracle", type=click.Path(path_type=Path), metavar="RUN", help="Oracle arm.")
@click.option("--seed", type=int, default=0, show_default=True, help="Key of all draws.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the evaluation file.")
def evaluate(
    run: Path,
    data: tuple[str, ...],
    label: str | None,
    baseline: Path | None,
    oracle: Path | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Judge the model of RUN and write RUN/evaluation.json.

    With --baseline and --oracle, two runs that were evaluated on the same data, also tell how much
    of the gap between them RUN closes on the pairs that it never saw together.
    """
    from loretta_framework.evaluate.run import EvaluationRequest, evaluate as execute

    content = execute(
        EvaluationRequest(run, data, label, baseline, oracle, seed, device),
        say=lambda text: click.echo(f"  {text}", err=True),
    )
    if as_json:
        click.echo(json.dumps(content, indent=1))
    else:
        _show(content)
        click.echo(f"written to {run / 'evaluation.json'}")


def _show(content: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    shown = [metric for metric in HEADINGS if any(metric in e for e in content["edges"])]
    title = f"{content['name']}: {content['samples']} test samples"
    _table(console, title, content["edges"], shown)
    for name, judge in content.get("judges", {}).items():
        if "judge_accuracy" in judge:
            console.print(
                f"judge of {name}: {_cell(judge, 'judge_accuracy')} on real test data, "
                f"{_cell(judge, 'judge_accuracy_round_trip')} after encoding and decoding it",
                markup=False,
            )
    if content["gap_closed"]:
        metrics = ("class_accuracy", "retrieval_at_1")
        _table(console, "gap closed", content["gap_closed"]["edges"], metrics)


def _table(
    console: Console, title: str, entries: Sequence[Mapping[str, Any]], metrics: Sequence[str]
) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("edge")
    for metric in metrics:
        table.add_column(HEADINGS[metric], justify="right")
    for entry in entries:
        edge = f"{entry['source'] or '(nothing)'} -> {entry['target']}"
        edge += "" if entry.get("observed", True) else " *"
        table.add_row(edge, *(_cell(entry, metric).replace("[", r"\[") for metric in metrics))
    console.print(table)
    if any(not entry.get("observed", True) for entry in entries):
        console.print("* never seen together in training", markup=False)
    reasons = {value: None for e in entries for key, value in e.items() if key.endswith("_reason")}
    for reason in reasons:
        console.print(f"- : {reason}", markup=False)


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    """ "0.59 [0.55, 0.63]"; "-" where it could not be computed, "" where it was not asked for."""
    found = entry.get(metric)
    if not found:
        return "-" if metric in entry else ""
    low, high = found["interval"]
    digits = 2 if abs(found["value"]) >= 10 else 3
    return f"{found['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
