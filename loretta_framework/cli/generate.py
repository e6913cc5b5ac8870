"""`loretta generate`: one modality from others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loretta_framework.api.errors import InputError, nearest

if TYPE_CHECKING:
    from loretta_framework.inference import LoadedModel

FILE_SUFFIX = re.compile(r"\.(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{1,5}")
"""What makes `--out` a file: ".png", but not the ".5" of a folder "v1.5"."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="MODALITY=VALUE",
    help="A source; the order is that of the segments. Text is literal, @FILE reads it; "
    "other modalities take a path. Without any, the model generates from nothing.",
)
@click.option("--to", required=True, metavar="MODALITY", help="What to generate.")
@click.option(
    "--out", required=True, help="A folder (made when missing), or a file for one sample."
)
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="0 takes the most likely tokens.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Keep only the K most likely tokens.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def generate(
    run: Path,
    sources: tuple[str, ...],
    to: str,
    out: str,
    num_samples: int,
    temperature: float,
    top_k: int | None,
    seed: int,
    device: str,
) -> None:
    """Generate one modality from others with the model of RUN; prints the files written.

    Files that are there already are replaced.
    """
    from loretta_framework.api.atomic import write_bytes_atomically
    from loretta_framework.inference import load

    model = load(run, device, warn=lambda text: click.echo(f"warning: {text}", err=True))
    given = given_values(model, sources, "--from")
    values = model.generate(given, to, num_samples, temperature, top_k, seed)
    written = [model.tokenizers[to].write(value) for value in values]
    extensions = [extension for _, extension in written]
    for (data, _), path in zip(written, _paths(out, to, extensions), strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomically(path, data)
        except OSError as error:
            raise InputError(
                f"the file cannot be written: {error.strerror}",
                where=str(path),
                fix="give another --out",
            ) from error
        click.echo(str(path))


def given_values(
    model: LoadedModel, arguments: Sequence[str], option: str
) -> list[tuple[str, Any]]:
    """MODALITY=VALUE arguments as what `LoadedModel` takes: text literal, or the path of a file.

    Raises:
        InputError: an argument has another form, or names an unknown modality.
    """
    given: list[tuple[str, Any]] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (name and equals):
            raise InputError(
                f"{option} must be MODALITY=VALUE, but is '{argument}'",
                fix=f"for example {option} {model.modalities[0]}=...",
            )
        if name not in model.modalities:
            raise InputError(
                f"unknown modality '{name}'{nearest(name, model.modalities)}",
                where=f"{option} {argument}",
                fix=f"the run has {', '.join(model.modalities)}",
            )
        literal = "txt" in model.extensions[name] and not value.startswith("@")
        given.append((name, value if literal else Path(value.removeprefix("@"))))
    return given


def _paths(out: str, to: str, extensions: Sequence[str]) -> list[Path]:
    path = Path(out)
    folder = out.endswith("/") or path.is_dir() or not FILE_SUFFIX.fullmatch(path.suffix)
    if folder:
        return [path / f"{to}-{i:03d}.{extension}" for i, extension in enumerate(extensions)]
    if len(extensions) > 1:
        raise InputError(
            f"--out must be a folder for {len(extensions)} samples, but is '{out}'",
            fix=f"give a folder, for example '{path.with_suffix('')}/'",
        )
    if path.suffix.lower() != f".{extensions[0]}":
        raise InputError(
            f"{to} is written as .{extensions[0]}, but --out is '{out}'",
            fix=f"give '{path.with_suffix('.' + extensions[0])}', or a folder ending in '/'",
        )
    return [path]
