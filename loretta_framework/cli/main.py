"""The `loretta` command. Verbs are imported when they are called, so that help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from loretta_framework.api.errors import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_USER,
    InputError,
    LorettaError,
    StoppedOnRequest,
)
from loretta_framework.cli.lazy import LazyGroup

EXIT_INTERRUPTED = 130

VERBS: dict[str, tuple[str, str]] = {
    "plugins": (
        "loretta_framework.cli.plugins:plugins",
        "Show what is installed, and find out what is broken.",
    ),
    "recipe": ("loretta_framework.cli.recipe:recipe", "List, check, show and explain recipes."),
    "data": ("loretta_framework.cli.data:data", "Prepare, index, check and preview data sets."),
    "fit": ("loretta_framework.cli.fit:fit", "Fit the tokenizers that learn from data."),
    "train": ("loretta_framework.cli.train:train", "Train the model a recipe describes."),
    "evaluate": (
        "loretta_framework.cli.evaluate:evaluate",
        "Judge a trained model on the test sets of its recipe.",
    ),
    "generate": ("loretta_framework.cli.generate:generate", "Generate one modality from others."),
    "score": (
        "loretta_framework.cli.score:score",
        "Tell how likely one modality is, given others.",
    ),
}
"""See `lazy.Table`."""


@dataclass
class Options:
    """What the options before the verb decided."""

    debug: bool = False


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib import metadata

        click.echo(f"loretta {metadata.version('loretta-framework')}")
        ctx.exit()


@click.group(cls=LazyGroup, table=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, envvar="LORETTA_DEBUG", help="Show tracebacks of errors.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option(
    "-x",
    "--without",
    "without",
    multiple=True,
    metavar="NAME",
    help="Leave this plugin out; may be given several times.",
)
@click.option("--safe-mode", is_flag=True, help="Use the built-in plugin alone.")
@click.option(
    "--strict-plugins", is_flag=True, help="Stop when any installed plugin cannot be used."
)
@click.pass_context
def cli(
    ctx: click.Context, debug: bool, without: tuple[str, ...], safe_mode: bool, strict_plugins: bool
) -> None:
    """Train one model from any modality to any other, out of partially paired data."""
    from loretta_framework.registry import notices
    from loretta_framework.registry.switches import switched

    ctx.ensure_object(Options).debug = debug
    if without:
        _require_plugins(without)
    ctx.with_resource(switched(without, safe_mode, strict_plugins))
    ctx.with_resource(notices.heard_by(lambda text: _say(f"note: {text}")))


def _require_plugins(names: Sequence[str]) -> None:
    from loretta_framework.registry.records import BUILTIN, installed, require_known

    require_known(names, installed())
    if BUILTIN in names:
        raise InputError("the built-in plugin cannot be left out", where=f"-x {BUILTIN}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 2 the user's mistake, 1 a failure,
    75 stopped on request with state saved, 130 interrupted.

    Errors that are not ours keep their traceback: they are bugs.
    """
    options = Options()
    # Any package may announce itself to pydantic, which would import it here: nobody named it.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        result = cli.main(
            None if arguments is None else list(arguments),
            prog_name="loretta",
            standalone_mode=False,
            obj=options,
        )
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return EXIT_USER
    except LorettaError as error:
        if options.debug:
            raise
        _say(str(error) if isinstance(error, StoppedOnRequest) else f"error[{error.code}]: {error}")
        return error.exit_code
    except click.Abort as abort:
        # click turns an EOFError into this too; from a truncated file that is a bug to be shown.
        if isinstance(abort.__cause__, EOFError):
            raise abort.__cause__ from None
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return EXIT_FAILURE
    return result if isinstance(result, int) else EXIT_OK


def _say(text: str) -> None:
    click.echo(text, err=True)


def _close_output() -> None:
    """The reader is gone. What is still buffered would raise again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _run() -> Any:
    sys.exit(main())


if __name__ == "__main__":
    _run()
