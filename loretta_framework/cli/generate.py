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
@click.option("--out", help="A folder (made when missing), or a file for one sample.")
@click.option(
    "--stream", "as_stream", is_flag=True, help="Print the text while it is made; without --out."
)
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--temperature",
    "temperatures",
    multiple=True,
    metavar="T|MODALITY=T",
    help="1 samples as the model says (default), 0 takes the most likely tokens. With --via it may "
    "be given per modality.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Keep only the K most likely tokens.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, min_open=True, max=1),
    help="Keep only the fewest most likely tokens that have this probability together.",
)
@click.option(
    "--min-p",
    type=click.FloatRange(min=0, max=1),
    help="Keep only tokens this many times as likely as the likeliest.",
)
@click.option(
    "--guidance",
    "guidances",
    multiple=True,
    metavar="W|MODALITY=W",
    help="How much the sources count: 1 is plain, 0 ignores them, more exaggerates them. By "
    "modality, each source is a condition of its own.",
)
@click.option(
    "--via",
    multiple=True,
    metavar="MODALITY",
    help="Generate this on the way, then --to from it alone; may be given several times.",
)
@click.option(
    "--keep-ancestors", is_flag=True, help="With --via: generate from all that came before."
)
@click.option(
    "--best-of",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Candidates per sample, of which the likeliest under the model is kept.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def generate(
    run: Path,
    sources: tuple[str, ...],
    to: str,
    out: str | None,
    as_stream: bool,
    num_samples: int,
    temperatures: tuple[str, ...],
    guidances: tuple[str, ...],
    best_of: int,
    device: str,
    **wishes: Any,
) -> None:
    """Generate one modality from others with the model of RUN; prints the files written.

    Files that are there already are replaced.
    """
    from loretta_framework.inference import load

    _require_one_way(out, as_stream, num_samples, best_of)
    wishes["temperature"] = _numbers(temperatures, "--temperature", 1.0)
    wishes["guidance"] = _numbers(guidances, "--guidance", None)
    model = load(run, device, warn=lambda text: click.echo(f"warning: {text}", err=True))
    given = given_values(model, sources, "--from")
    if out is None:
        _print_as_made(model, given, to, wishes)
    else:
        values = model.generate(given, to, num_samples, best_of=best_of, **wishes)
        _write(model, to, values, out)


def _require_one_way(out: str | None, as_stream: bool, num_samples: int, best_of: int) -> None:
    if as_stream and out is not None:
        raise InputError("--stream prints the text and writes no file", fix="leave --out out")
    if as_stream and (num_samples > 1 or best_of > 1):
        raise InputError(
            "--stream prints one sample as it is made",
            fix="leave --num-samples and --best-of out, or give --out",
        )
    if out is None and not as_stream:
        raise InputError(
            "there must be a place for what is generated",
            fix="give --out FOLDER, or --stream to print a text",
        )


def _numbers(arguments: Sequence[str], option: str, default: Any) -> Any:
    """A number, or numbers by modality."""
    found: dict[str, float] = {}
    for argument in arguments:
        name, equals, text = argument.rpartition("=")
        try:
            number = float(text)
        except ValueError:
            number = None
        if number is None or (equals and not name):
            raise InputError(f"{option} must be a number or MODALITY=NUMBER, but is '{argument}'")
        if name in found or (found and "" in (name, *found)):
            raise InputError(
                f"{option} must be one number, or one per modality, but is {', '.join(arguments)}"
            )
        found[name] = number
    return found.get("", found) if found else default


def _print_as_made(
    model: LoadedModel, given: list[tuple[str, Any]], to: str, wishes: dict[str, Any]
) -> None:
    if to in model.modalities and "txt" not in model.extensions[to]:
        texts = [name for name in model.modalities if "txt" in model.extensions[name]]
        raise InputError(
            f"--stream prints texts, but '{to}' is none",
            fix=f"give --out instead, or generate {' or '.join(texts) or 'a text'}",
        )
    printed = ""
    for progress in model.stream(given, to, chunk=1, **wishes):
        click.echo(progress.value[len(printed) :], nl=False)
        printed = progress.value
    click.echo()


def _write(model: LoadedModel, to: str, values: Sequence[Any], out: str) -> None:
    from loretta_framework.api.atomic import write_bytes_atomically

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
