"""`loretta score`: how likely one modality is, given others."""

from __future__ import annotations

import json
from pathlib import Path

import click

from loretta_framework.cli.generate import given_values


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="MODALITY=VALUE",
    help="A source; the order is that of the segments. Text is literal, @FILE reads it; "
    "other modalities take a path. Without any, the target alone is scored.",
)
@click.option(
    "--to",
    "targets",
    multiple=True,
    required=True,
    metavar="MODALITY=VALUE",
    help="What is scored; several follow each other.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--device", default="cpu", show_default=True)
def score(
    run: Path, sources: tuple[str, ...], targets: tuple[str, ...], as_json: bool, device: str
) -> None:
    """Print log p(targets | sources) in nats under the model of RUN; nearer to 0 is likelier."""
    from loretta_framework.inference import load

    model = load(run, device, warn=lambda text: click.echo(f"warning: {text}", err=True))
    given, wanted = (
        given_values(model, arguments, option)
        for arguments, option in ((sources, "--from"), (targets, "--to"))
    )
    cost = model.cost(given, wanted)
    if as_json:
        click.echo(
            json.dumps({"log_probability": -cost.nats, "unit": "nats", "tokens": int(cost.tokens)})
        )
    else:
        click.echo(f"{-cost.nats:.4f}")
