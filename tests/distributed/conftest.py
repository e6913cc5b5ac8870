"""Ranks as processes that meet in a file: no port that another process could take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Launch = Callable[..., list[str]]

_SECONDS = 240


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Run a worker once per rank as `WORKER RANK SIZE STORE *arguments`; what each has printed."""

    def ranks(
        worker: Path,
        arguments: Sequence[Sequence[str]],
        environments: Sequence[dict[str, str] | None] | None = None,
    ) -> list[str]:
        store = tmp_path / f"store-{len(list(tmp_path.glob('store-*')))}"
        store.touch()
        size = len(arguments)
        started: list[subprocess.Popen[str]] = []
        try:
            for rank, own in enumerate(arguments):
                command = [sys.executable, str(worker), str(rank), str(size), str(store), *own]
                environment = environments[rank] if environments else None
                started.append(
                    subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
                )
            said = [rank.communicate(timeout=_SECONDS)[0] for rank in started]
        finally:
            for rank in started:
                rank.kill()
                rank.wait()
        assert [rank.returncode for rank in started] == [0] * size, said
        return said

    return ranks
