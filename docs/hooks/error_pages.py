"""A page for each kind of error, by the code that its message shows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from loretta_framework.api import errors

ADVICE = Path(__file__).parents[1] / "errors"
"""Hand-written parts: one file for each code."""

EXITS = {
    errors.EXIT_FAILURE: "1, an operational failure",
    errors.EXIT_USER: "2, your mistake",
    errors.EXIT_STOPPED: "75, stopped on request with state saved",
}


def kinds() -> list[type[errors.LorettaError]]:
    """Every kind of error that is raised, in the order in which they stand."""
    found = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.LorettaError)
    ]
    return [kind for kind in found if kind not in (errors.LorettaError, errors.UserError)]


def pages() -> Iterator[tuple[str, str]]:
    """The list of codes."""
    yield "errors/index.md", "\n".join(_index())


def _index() -> Iterator[str]:
    yield "# Errors\n"
    yield (
        "An error says what was wrong, where, and what to do. `error[plugin]: ...` has the code "
        "`plugin`, explained on its page. `loretta --debug ...` shows the traceback too.\n"
    )
    yield "| code | meaning | exit code | Python |"
    yield "|---|---|---|---|"
    for kind in kinds():
        sentence = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
        code = kind.code
        yield f"| [{code}]({code}.md) | {sentence} | {EXITS[kind.exit_code]} | `{kind.__name__}` |"
