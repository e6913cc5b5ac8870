"""Processes in which components are tried: started once, asked many things, ended with this one."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Literal

from loretta_framework.testing.conformance.checks import CheckFailure, NotApplicable

TIMEOUT_S = 180.0
"""Seconds a question may take: two orders of magnitude above what one takes."""

HASH_SEED = "20240229"
"""Of the children, so that what follows the order of a set comes out otherwise than here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child said.

    Attributes:
        outcome: "absent" where a package is not installed that the component says it needs, "idle"
            where there was nothing to try.
        value: the answer, or the error's text.
        importers: places that tried to import torch where there is none.
    """

    outcome: Literal["answered", "absent", "idle", "failed"]
    value: Any
    importers: list[str]

    def taken(self) -> Any:
        """The answer.

        Raises:
            CheckFailure: there is none, for the reason given.
            NotApplicable: there is none because a package is absent, or nothing to try.
        """
        if self.outcome in ("absent", "idle"):
            raise NotApplicable(self.value)
        if self.outcome == "failed":
            raise CheckFailure(f"in a process of its own: {self.value}")
        return self.value


class Child:
    """A fresh interpreter with the same import path, another hash seed and an empty folder.

    Args:
        plugin: with a name, torch is absent and the plugin is discovered first; see `discovery`.

    Attributes:
        discovery: which packages the plugin's discovery imported, and the note that the registry made
            of it; None without a plugin.
    """

    def __init__(self, plugin: str = "") -> None:
        self._pipe, there = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `end`
        environment = {
            **os.environ,
            "PYTHONHASHSEED": HASH_SEED,
            "PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path),
        }
        self._folder = tempfile.TemporaryDirectory()
        script = str(Path(__file__).with_name("child.py"))
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", script, str(there.fileno()), plugin],
                pass_fds=[there.fileno()],
                env=environment,
                cwd=self._folder.name,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
            )
        self.discovery = self._answer() if plugin else None

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """Call a function of an importable module there; it and its arguments are pickled."""
        try:
            self._pipe.send((function, arguments))
        except OSError:
            return self._lost()
        except Exception as error:  # pickling raises what the objects raise
            return Answer("failed", f"it cannot be pickled: {type(error).__name__}: {error}", [])
        return self._answer()

    def _answer(self) -> Answer:
        try:
            if self._pipe.poll(TIMEOUT_S):
                return Answer(*self._pipe.recv())
        except (EOFError, OSError):
            return self._lost()
        self.end()
        return Answer("failed", f"it did not answer within {TIMEOUT_S:g} s", [])

    def _lost(self) -> Answer:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", errors="replace").strip().splitlines()
        last = f"; its last line: {said[-1]}" if said else ""
        return Answer("failed", f"the process ended with code {code}{last}", [])

    def end(self) -> None:
        """Stop it."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()
        self._folder.cleanup()


_started: dict[bool, tuple[tuple[str, ...], Child]] = {}
"""Of either sort the last one, with what it was started for."""


def worker() -> Child:
    """A process such as data are loaded in; shared by all components."""
    return _child("")


def torchless(plugin: str) -> Child:
    """A process without torch that has discovered this plugin and nothing else."""
    return _child(plugin)


def _child(plugin: str) -> Child:
    wanted = (plugin, *sys.path)
    known, child = _started.get(bool(plugin), ((), None))
    if child is None or known != wanted or not child.alive:
        if child is not None:
            child.end()
        child = Child(plugin)
        _started[bool(plugin)] = (wanted, child)
    return child


@atexit.register
def _end_all() -> None:
    for _, child in _started.values():
        child.end()
