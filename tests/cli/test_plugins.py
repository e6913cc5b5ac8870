"""`loretta plugins list` and `doctor`, through the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.testing.broken_plugins import FAULTS, write_plugin


class Shell:
    """Runs the command with a site directory and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "LORETTA_CACHE": str(folder / "cache"),
        }
        self.environment.pop("LORETTA_PLUGINS", None)

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "loretta_framework.cli.main", *arguments],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def rows(self, *arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
        """Rows of `--json` by plugin name."""
        rows = json.loads(self(*arguments, "--json", **variables).stdout)
        return {row["name"]: row for row in rows}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_listing_needs_no_plugin_to_work(shell: Shell) -> None:
    for name in ("exits", "hangs", "crashes", "raises"):
        write_plugin(shell.site, name, FAULTS[name])
    done = shell("plugins", "list")
    assert done.returncode == 0
    assert "loretta plugins doctor" in done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["name"] == ["name", "distribution", "version", "status", "cause"]
    for name in ("exits", "hangs", "crashes", "raises"):
        assert lines[name] == [name, f"loretta-plugin-{name}", "1.0", "unchecked"]
    assert lines["builtin"][1] == "loretta-framework"


def test_doctor_makes_every_fault_a_row_and_list_remembers(shell: Shell) -> None:
    write_plugin(shell.site, "sound")
    for name in ("exits", "hangs", "crashes", "prints"):
        write_plugin(shell.site, name, FAULTS[name])
    names = ["sound", "exits", "hangs", "crashes", "prints"]
    done = shell("plugins", "doctor", *names, "--timeout", "5", "--json")
    assert done.returncode == 1
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "sound": "ok",
        "prints": "ok",
        "exits": "broken",
        "hangs": "broken",
        "crashes": "broken",
    }
    assert rows["sound"]["components"] == ["sound.thing"]
    assert "did not finish within 5 s" in rows["hangs"]["cause"]
    assert "SIGSEGV" in rows["crashes"]["cause"]
    assert rows["exits"]["line"] == 2

    listed = shell.rows("plugins", "list")
    assert {name: listed[name] for name in rows} == rows
    text = shell("plugins", "list").stdout
    assert "SystemExit: 3 (" in text
    assert "__init__.py:2)" in text


def test_doctor_of_sound_plugins_succeeds(shell: Shell) -> None:
    write_plugin(shell.site, "sound")
    assert shell("plugins", "doctor", "sound").returncode == 0


def test_collisions_and_switched_off_plugins_are_listed(shell: Shell) -> None:
    write_plugin(shell.site, "alpha")
    write_plugin(shell.site, "alpha", distribution="evil-alpha")
    write_plugin(shell.site, "beta")
    rows = shell.rows("plugins", "list", LORETTA_PLUGINS="alpha")
    assert rows["alpha"]["status"] == "collision"
    assert "evil-alpha 1.0" in rows["alpha"]["cause"]
    assert "loretta-plugin-alpha 1.0" in rows["alpha"]["cause"]
    assert rows["beta"]["status"] == "disabled"
    assert shell("plugins", "doctor", "beta", LORETTA_PLUGINS="alpha").returncode == 0
    assert shell("plugins", "doctor", "alpha").returncode == 1


def test_doctor_of_an_absent_plugin_is_the_users_mistake(shell: Shell) -> None:
    done = shell("plugins", "doctor", "builtn")
    assert done.returncode == 2
    assert "error: no plugin 'builtn' is installed (did you mean 'builtin'?)" in done.stderr
    assert shell("plugins", "doctor", "--timeout", "0").returncode == 2


def test_the_core_passes_its_own_doctor(shell: Shell) -> None:
    rows = shell.rows("plugins", "doctor", "builtin")
    assert (rows["builtin"]["status"], rows["builtin"]["cause"]) == ("ok", "")
    assert "settings import torch" not in rows["builtin"]["note"]
