"""The command's root: help without imports, exit codes, errors without tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from loretta_framework.api.errors import (
    InputError,
    Problem,
    RecipeError,
    StoppedOnRequest,
    TrainingError,
)
from loretta_framework.cli import main as root

HEAVY = ("torch", "numpy", "pydantic")


def imported_by(arguments: list[str], tmp_path: Path) -> set[str]:
    """Top-level modules loaded by a run of the command in a fresh interpreter."""
    script = (
        "import json, sys\n"
        "from loretta_framework.cli.main import main\n"
        f"code = main({arguments!r})\n"
        "assert code == 0, code\n"
        "sys.stderr.write('\\nMODULES' + json.dumps(sorted(sys.modules)))\n"
    )
    environment = {**os.environ, "LORETTA_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.rpartition("MODULES")[2]))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "list"]])
def test_quick_commands_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    modules = imported_by(arguments, tmp_path)
    assert not modules & set(HEAVY)
    assert not any(name.startswith("loretta_plugin_") for name in modules)
    verbs = {f"loretta_framework.cli.{entry.partition(':')[0]}" for entry, _ in root.VERBS.values()}
    assert modules & verbs <= {"loretta_framework.cli.plugins"}


def test_help_names_every_verb_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["--help"]) == 0
    output = capsys.readouterr().out
    for verb, (_, summary) in root.VERBS.items():
        assert f"  {verb} " in output
        assert summary.split(",")[0] in output


@pytest.mark.parametrize("verb", sorted(root.VERBS))
def test_every_verb_of_the_table_exists(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main([verb, "--help"]) == 0
    assert f"loretta {verb}" in capsys.readouterr().out


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["trian"]) == 2
    assert "unknown verb 'trian' (did you mean 'train'?)" in capsys.readouterr().err
    assert root.main(["qqqq"]) == 2
    assert "unknown verb 'qqqq'\n" in capsys.readouterr().err
    assert root.main(["--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
    assert root.main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["--version"]) == 0
    assert capsys.readouterr().out == "loretta 0.1.0\n"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `loretta plugins` raise this error."""

    @click.command()
    def verb() -> None:
        raise error

    monkeypatch.setattr(root.LazyGroup, "get_command", lambda *_: verb)


PROBLEMS = [Problem("one", "r.yaml:3", "mend it"), Problem("two")]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            InputError("no file", where="a.png", fix="give one"),
            2,
            "error[input]: a.png: no file\n  -> give one\n",
        ),
        (RecipeError(PROBLEMS), 2, "error[recipe]: r.yaml:3: one\n  -> mend it\ntwo\n"),
        (TrainingError("loss is not finite"), 1, "error[training]: loss is not finite\n"),
        (
            StoppedOnRequest("stopped at step 7, state saved"),
            75,
            "stopped at step 7, state saved\n",
        ),
        (click.ClickException("bad option"), 2, "Error: bad option\n"),
        (
            click.FileError("x", "cannot be opened"),
            2,
            "Error: Could not open file 'x': cannot be opened\n",
        ),
        (KeyboardInterrupt(), 130, "\n"),
    ],
)
def test_exit_codes_and_messages(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
) -> None:
    failing(monkeypatch, error)
    assert root.main(["plugins"]) == code
    assert capsys.readouterr().err == text


def test_debug_shows_the_traceback_of_our_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, InputError("no file"))
    with pytest.raises(InputError):
        root.main(["--debug", "plugins"])
    monkeypatch.setenv("LORETTA_DEBUG", "1")
    with pytest.raises(InputError):
        root.main(["plugins"])


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), EOFError("truncated file")])
def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failing(monkeypatch, error)
    with pytest.raises(type(error)):
        root.main(["plugins"])


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_a_closed_pipe_is_silent(size: int) -> None:
    script = (
        "import click, sys\n"
        "from loretta_framework.cli import main as root\n"
        "@click.command()\n"
        "def verb():\n"
        "    sys.stdin.readline()\n"
        f"    click.echo('x' * {size}, nl=False)\n"
        "root.LazyGroup.get_command = lambda *_: verb\n"
        "sys.exit(root.main(['plugins']))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.close()  # only then is the child told to write
    child.stdout = None
    _, error = child.communicate(b"go\n")
    assert error == b""
    assert child.returncode == 1
