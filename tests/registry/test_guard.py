"""What a plugin does to the process while it is imported is undone, and named."""

from __future__ import annotations

import builtins
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from loretta_framework.registry import PluginRecord, Registry, notices
from loretta_framework.registry.guard import STILL_SECONDS, guarded
from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin


def loaded(name: str) -> PluginRecord:
    (record,) = [record for record in Registry.discover({name}).records if record.name == name]
    return record


def test_a_hostile_import_changes_nothing(site: Path) -> None:
    before = dict(os.environ), dict(vars(builtins)), os.getcwd(), sys.excepthook
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    write_plugin(site, "odd", FAULTS["changes_the_process"])
    record = loaded("odd")
    assert record.status == "ok"
    assert before == (dict(os.environ), dict(vars(builtins)), os.getcwd(), sys.excepthook)
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    for part in (
        "environment variable LORETTA_PLUGINS",
        "environment variable PATH",
        "built-in an_addition",
        "built-in open",
        "handler of SIGINT",
        "handler of SIGTERM",
        "the working directory",
        "hook excepthook",
    ):
        assert part in record.note


def test_a_sound_import_is_not_accused(site: Path) -> None:
    write_plugin(site, "odd")
    assert loaded("odd").note == ""


def test_what_a_failing_import_changed_is_put_back_too(site: Path) -> None:
    write_plugin(
        site, "odd", "import os\nos.environ['ODD'] = '1'\nraise RuntimeError('then this')\n"
    )
    assert loaded("odd").status == "broken"
    assert "ODD" not in os.environ


def test_a_fork_of_the_import_does_not_go_on_with_the_command(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["forks"])
    script = (
        "import os\n"
        "from loretta_framework.registry import Registry\n"
        "record = Registry.discover({'odd'}).require('odd')\n"
        "os.write(1, b'went on ')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "went on "


def test_a_pressed_key_ends_the_command_and_is_not_the_plugins_fault(site: Path) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(9)\n"
    write_plugin(site, "odd", source + SOUND)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Registry.discover({"odd"})
    finally:
        signal.signal(signal.SIGINT, former)


def test_an_interrupt_raised_by_the_plugin_is_its_fault_in_any_thread(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["interrupts"])
    found: list[PluginRecord] = []
    thread = threading.Thread(target=lambda: found.append(loaded("odd")))
    thread.start()
    thread.join()
    assert (found[0].status, found[0].cause) == ("broken", "KeyboardInterrupt")


def test_a_slow_import_is_named_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loretta_framework.registry.guard.STILL_SECONDS", 0.01)
    told = threading.Event()
    texts: list[str] = []

    def listen(text: str) -> None:
        texts.append(text)
        told.set()

    with notices.heard_by(listen), guarded("the plugin 'odd' of odd 1.0", []):
        assert told.wait(60)
    assert texts[0].startswith("still importing the plugin 'odd' of odd 1.0, after 0.01 s; ")
    assert "-x" in texts[0]
    assert STILL_SECONDS > 1


def test_slow_and_heavy_imports_are_the_plugins_fault(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "pandas.py").write_text("")  # stand-ins: what counts is that the names appear
    (site / "jax.py").write_text("")
    for name in ("pandas", "jax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 1.3 * next(clock))
    write_plugin(site, "odd", "import jax, pandas\n" + SOUND)
    note = loaded("odd").note
    for name in ("pandas", "jax"):  # monkeypatch would bring the stand-ins back afterwards
        sys.modules.pop(name, None)
    assert "it imports jax, pandas when it is discovered" in note
    assert "its import took 1.3 s" in note


def test_a_native_crash_names_the_line(site: Path) -> None:
    file = write_plugin(site, "odd", FAULTS["crashes"])
    script = "from loretta_framework.registry import Registry\nRegistry.discover({'odd'})\n"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGSEGV
    assert f'File "{file}", line 2' in done.stderr
