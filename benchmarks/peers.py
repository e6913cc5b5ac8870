"""Contestants in processes of their own, each under the python of its own environment.

An environment lies in `.peers/<name>`; `make .peers/<name>/.setup` builds it from the pinned
`benchmarks/environments/<name>.txt`. "ours" is the python that runs this.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

OURS = "ours"


class Absent(Exception):
    """A contestant cannot be run here; the text says why, and what would help."""


def python_of(environment: str, root: Path = ROOT) -> str:
    """The interpreter of an environment.

    Raises:
        Absent: it was not built.
    """
    if environment == OURS:
        return sys.executable
    folder = root / ".peers" / environment
    if not (folder / ".setup").is_file():
        raise Absent(f".peers/{environment} is missing; build it: make .peers/{environment}/.setup")
    return str(folder / "bin" / "python")


class Peer:
    """One contestant's process.

    Args:
        environment: whose python.
        contestant: a module of `benchmarks.contestants`.
        spec: what it is to do, plain data.
        threads: processor threads it may use.
        deadline: on `time.monotonic`'s clock; what takes longer is ended.

    Raises:
        Absent: its environment is missing.
    """

    def __init__(
        self,
        environment: str,
        contestant: str,
        spec: dict[str, Any],
        threads: int = 1,
        deadline: float | None = None,
    ) -> None:
        python = python_of(environment)
        self._deadline = deadline
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        command = [python, "-m", "benchmarks.contestants.serve", contestant, json.dumps(spec)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ready(self) -> dict[str, Any]:
        """Wait until it is set up; what it says about itself.

        Raises:
            Absent: it cannot be set up.
        """
        return self._answer()

    def ask(self, pieces: int) -> None:
        """Let it do so many pieces of work; `answer` waits for it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its last words are read by `answer`
            self._process.stdin.write(f"{pieces}\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What `Rounds` answered to the last `ask`.

        Raises:
            Absent: the process has ended; the text holds its last line.
        """
        return self._answer()

    def round(self, pieces: int) -> dict[str, Any]:
        """`ask` and `answer`."""
        self.ask(pieces)
        return self.answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # One answer follows one question, so nothing waits in the stream's own buffer.
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        if left is not None and not select.select([self._process.stdout], [], [], left)[0]:
            self._process.kill()
            self.close()
            raise Absent("it took longer than its time")
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise Absent(f"it ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"without a word, with code {self._process.returncode}"

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # it ended before it read its last line
                    stream.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
