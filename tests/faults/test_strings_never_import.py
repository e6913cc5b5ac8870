"""No string of a recipe, a plan or a checkpoint becomes an import or a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loretta_framework.testing.small_runs import write_small_run

WORKER = Path(__file__).with_name("strings_worker.py")


def attacked(folder: Path, share: int) -> list[str]:
    """What the worker reports."""
    site = folder / "site"
    site.mkdir()
    (site / "trap.py").write_text("import os\n\n\ndef run():\n    os.system('true')\n")
    objective = {"kind": "causal", "name": "main", "settings": {"order": "any"}}
    run = write_small_run(
        folder,
        requires=["loretta-framework"],
        objectives=[objective],
        freeze=["head.*"],
        callbacks=[{"kind": "progress"}],
    )
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder / "run.yaml"), str(run), str(share)],
        env={**os.environ, "PYTHONPATH": str(site), "LORETTA_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_no_string_is_imported_or_run(tmp_path: Path) -> None:
    *faults, last = attacked(tmp_path, share=4)
    assert faults == []
    assert int(last.split()[0]) >= 60


@pytest.mark.soak
def test_no_string_at_any_place_is_imported_or_run(tmp_path: Path) -> None:
    *faults, last = attacked(tmp_path, share=1)
    assert faults == []
    assert int(last.split()[0]) > 1500
