"""`loretta plugins list` and `doctor`, through the installed command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.cli.main import main
from loretta_framework.cli.plugins.conformance import Conformed
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
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
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
    assert rows["crashes"]["deadly"]
    assert not rows["hangs"]["deadly"]  # 5 s do not tell a hang from a slow machine
    assert not rows["exits"]["deadly"]
    text = shell("plugins", "list").stdout
    assert "SystemExit: 3 (" in text
    assert "__init__.py:2)" in text
    assert "sound   sound.thing\n" in text


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
    assert "error[plugin]: no plugin 'builtn' is installed (did you mean 'builtin'?)" in done.stderr
    assert shell("plugins", "doctor", "--timeout", "0").returncode == 2


def test_the_core_passes_its_own_doctor(shell: Shell) -> None:
    done = shell("plugins", "doctor", "builtin", "--json")
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["cause"], row["note"]) == ("ok", "", "")
    kernel, *newer = row["kernels"]
    assert (kernel["component"], kernel["package"]) == ("transformer", "flash-attn")
    assert [other["package"] for other in newer] == ["flash-attn-3", "flash-attn-4"]
    text = shell("plugins", "list").stdout
    header, line = text.splitlines()[-4:-2]
    assert header.split()[:2] == ["component", "optional"]
    assert line.startswith("transformer  flash-attn        ")
    assert kernel["text"] in line
    assert kernel["install"] in line
    assert "builtin  causal  causal_masked" in text


EMPTY = """
from loretta_framework.api import hookimpl


@hookimpl
def register_modalities(register):
    pass
"""
ABORTS = FAULTS["factory_raises"].replace(
    "raise ValueError('no codebook')", "import os; os.abort()"
)


def test_the_conformance_kit_runs_in_a_child_in_either_order(shell: Shell) -> None:
    write_plugin(shell.site, "empty", EMPTY)
    for order in (("empty", "--conformance"), ("--conformance", "empty")):
        done = shell("plugins", "doctor", *order)
        assert done.returncode == 0, done.stderr
        assert "conformance of empty: 0 passed, 0 failed, 0 not applicable" in done.stdout


def test_what_fails_the_kit_is_told_with_sentence_and_fix(shell: Shell) -> None:
    write_plugin(shell.site, "odd")
    done = shell("plugins", "doctor", "odd", "--conformance")
    assert done.returncode == 1
    assert "odd.thing: any." in done.stdout or "odd.thing: tokenizer." in done.stdout
    assert "\n-> " in done.stdout
    assert re.search(r"conformance of odd: \d+ passed, [1-9]\d* failed, \d+ not", done.stdout)


def test_a_check_that_ends_the_interpreter_is_a_failure(shell: Shell) -> None:
    write_plugin(shell.site, "odd", ABORTS)
    done = shell("plugins", "doctor", "--conformance", "odd", "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)
    assert row["status"] == "ok"
    found = row["conformance"]
    assert found["broke"].startswith("it crashed the interpreter with SIGABRT")
    assert {"component", "check", "outcome", "detail", "sentence", "fix"} == set(
        found["results"][0]
    )
    text = str(Conformed("odd", found["results"], found["broke"]))
    assert "the kit did not come to its end after odd.thing: " in text


def test_switches_reach_the_doctors_children(shell: Shell) -> None:
    write_plugin(shell.site, "alpha")
    write_plugin(shell.site, "beta")
    done = shell("-x", "alpha", "--without", "beta", "plugins", "doctor", "alpha", "beta", "--json")
    assert done.returncode == 0
    for row in json.loads(done.stdout):
        assert row["status"] == "disabled"
        assert row["cause"] == "-x (or LORETTA_PLUGINS_WITHOUT) names it"
    rows = shell.rows("--safe-mode", "plugins", "list")
    assert rows["builtin"]["status"] == "unchecked"
    assert rows["alpha"]["cause"].startswith("--safe-mode (or LORETTA_SAFE_MODE)")


def test_a_switch_of_one_command_does_not_stay(shell: Shell, monkeypatch: Any) -> None:
    monkeypatch.delenv("LORETTA_SAFE_MODE", raising=False)
    assert main(["--safe-mode", "--strict-plugins", "plugins", "list"]) == 0
    assert "LORETTA_SAFE_MODE" not in os.environ
    assert "LORETTA_STRICT_PLUGINS" not in os.environ
