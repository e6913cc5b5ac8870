"""Runs a module in a child process whose crash or hang is an answer, not the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        answer: what it wrote to the file it was given, "" when nothing.
        how: "done" when it ended with exit code 0.
        cause: for the other ways, a sentence without a subject: "it crashed ...".
        frames: file and line of each frame where it crashed or stood still, innermost first.
    """

    answer: str
    how: Literal["done", "failed", "crashed", "timeout"]
    cause: str = ""
    frames: tuple[tuple[str, int], ...] = ()


def run_child(module: str, arguments: Sequence[str], timeout_s: float) -> Ended:
    """Run `python -m module ANSWER_FILE ARGUMENTS...`.

    Its output is kept for the cause: it belongs to whatever the child imports. What it started
    itself is ended with it.

    Args:
        module: to run.
        arguments: further arguments.
        timeout_s: seconds it may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, output = Path(folder, "answer"), Path(folder, "output")
        command = [sys.executable, "-X", "faulthandler", "-m", module, str(answer), *arguments]
        with output.open("wb") as file:
            # Not a pipe: a grandchild that holds it open would keep us waiting after the kill.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = _awaited(child, timeout_s)
        said = answer.read_text(encoding="utf-8") if answer.exists() else ""
        text = output.read_text(encoding="utf-8", errors="replace")
    return _ended(code, said, text, timeout_s)


def _awaited(child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Its exit code, None when its time was up."""
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)  # it tells where it stands
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LAST_WORDS_SECONDS)
        return None
    finally:
        _end(child)


_LAST_WORDS_SECONDS = 2.0


def _ended(code: int | None, answer: str, output: str, timeout_s: float) -> Ended:
    said, _, trace = output.partition("Fatal Python error:")
    frames = tuple((file, int(line)) for file, line in _FRAME.findall(trace))
    if code is None:
        cause = f"it did not finish within {timeout_s:g} s"
        return Ended(answer, "timeout", cause, frames)
    last = f"; its last line: {said.split(chr(10))[-1]}" if (said := said.strip()) else ""
    if code < 0:
        cause = f"it crashed the interpreter with {_signal(-code)}{last}"
        return Ended(answer, "crashed", cause, frames)
    if code == 0 and answer:
        return Ended(answer, "done")
    return Ended(answer, "failed", f"it ended the interpreter with exit code {code}{last}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal: only the first and the last have names
        return f"signal {number}"


_FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
"""As faulthandler writes it."""


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole session: what a plugin forked must not outlive the check."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        child.wait()


def answer(file: Path, text: str) -> None:
    """The child's side: write the answer, and end without waiting for threads of others."""
    beside = file.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
