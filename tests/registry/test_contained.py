"""What a plugin's settings, factories and metadata do to the command, the terminal and the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loretta_framework.api.errors import InputError, PluginError
from loretta_framework.api.specs import Kernel
from loretta_framework.recipe.nodes import check_nodes
from loretta_framework.registry import Builder, PluginRecord, Registry
from loretta_framework.registry.child import run_child
from loretta_framework.registry.doctor import examine
from loretta_framework.registry.kernels import try_kernel
from loretta_framework.registry.records import BUILTIN, KernelRecord, installed
from loretta_framework.registry.verdicts import cache_file, recall, remember
from loretta_framework.testing.broken_plugins import FAULTS, PARTS, SOUND, write_plugin


def parts(site: Path, name: str, change: tuple[str, str], before: str = "") -> None:
    write_plugin(site, name)
    text = before + PARTS.replace("{name}", name).replace(*change)
    (site / f"loretta_plugin_{name}" / "parts.py").write_text(text)


def told(name: str) -> str:
    data = {"modalities": {"a": {"kind": f"{name}.thing"}}}
    return "\n".join(map(str, check_nodes(data, Registry.discover({name}), str)[1]))


@pytest.mark.parametrize("ending", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit"])
def test_bounds_and_settings_modules_cannot_end_the_command(site: Path, ending: str) -> None:
    cause = ending.partition("(")[0]
    parts(site, "odd", ("return Bounds(self.size, 1, 1)", f"raise {ending}"))
    assert f"bounds(): {cause}" in told("odd")
    parts(site, "worse", ("", ""), f"raise {ending}\n")
    builder = Builder(Registry.discover({"worse"}))
    with pytest.raises(PluginError, match="settings"):
        builder.build("worse.thing", {})
    assert cause in told("worse")


def test_settings_and_factory_modules_leave_output_and_process_as_they_were(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = threading.excepthook, sys.stderr
    parts(
        site,
        "odd",
        ("return Bounds", "print('noise'); return Bounds"),
        "import os, sys, threading\nprint('noise')\nos.environ['ODD'] = '1'\n"
        "threading.excepthook = print\nsys.stderr = None\n",
    )
    assert told("odd") == ""
    Builder(Registry.discover({"odd"})).build("odd.thing", {})
    assert capsys.readouterr().out == ""
    assert "ODD" not in os.environ
    assert hooks == (threading.excepthook, sys.stderr)


@pytest.mark.parametrize("fault", ["wrong_settings", "no_bounds"])
def test_the_doctor_sees_unusable_settings_and_strict_believes_it(
    site: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(site, "odd", FAULTS[fault])
    (record,) = examine(["odd"], timeout_s=60)
    assert record.status == "broken"
    assert record.cause.startswith("settings of 'odd.thing': ")
    assert record.line
    Registry.discover({"odd"})  # its import succeeds, which proves nothing
    monkeypatch.setenv("LORETTA_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"settings of 'odd\.thing'"):
        Registry.discover(())


def test_a_short_limit_never_locks_a_plugin_out_nor_any_the_builtin(
    monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    (record,) = examine([BUILTIN], timeout_s=0.01)
    assert (record.status, record.deadly) == ("broken", False)
    monkeypatch.setattr("loretta_framework.registry.doctor.SURE_SECONDS", 0.001)
    (record,) = examine([BUILTIN], timeout_s=0.01)
    assert not record.deadly
    assert Registry.discover(()).require(BUILTIN).status == "ok"
    write_plugin(site, "odd", FAULTS["hangs"])
    (record,) = examine(["odd"], timeout_s=0.01)
    assert record.deadly
    with pytest.raises(PluginError, match="loretta plugins doctor odd"):
        Registry.discover({"odd"}).require("odd")


def test_an_import_that_does_not_end_is_ended(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORETTA_IMPORT_TIMEOUT", "0.2")
    write_plugin(site, "odd", FAULTS["hangs"])
    # A process of its own: the test runner may use this one's timer.
    script = (
        "from loretta_framework.registry import Registry\n"
        "print(next(r.cause for r in Registry.discover({'odd'}).records if r.name == 'odd'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "it did not end within 0.2 s (LORETTA_IMPORT_TIMEOUT" in done.stdout
    monkeypatch.setenv("LORETTA_IMPORT_TIMEOUT", "soon")
    with pytest.raises(InputError, match="must be a number of seconds above 0, but is 'soon'"):
        Registry.discover({"odd"})


def test_records_show_no_control_characters() -> None:
    record = PluginRecord("a\x1b[2J", "b\nc", "1\r", "broken", "red \x1b[31m", note="\x07")
    assert record.name == "a\\x1b[2J"
    assert record.source == "b\\nc 1\\r"
    assert record.cause == "red \\x1b[31m"
    assert record.note == "\\x07"


def test_a_damaged_row_of_the_cache_counts_as_unchecked_and_use_keeps_kernels(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["raises"])
    (plugin,) = [item for item in installed() if item.record.name == "odd"]
    kernel = KernelRecord("odd.thing", "fast", "ok", "it works", "pip install fast")
    ok = plugin.record.verdict({**plugin.record.to_json(), "status": "ok"})
    remember(plugin, PluginRecord("odd", ok.distribution, "1.0", "ok", kernels=(kernel,)))
    Registry.discover({"odd"})
    (kept,) = recall([plugin])
    assert (kept.status, kept.kernels) == ("broken", (kernel,))
    sound = cache_file().read_text()
    for field, value in {
        "cause": ["a"],
        "line": "1",
        "status": "fine",
        "components": [1],
        "kernels": [{"text": 1}],
        "deadly": 1,
    }.items():
        verdicts = json.loads(sound)
        next(iter(verdicts.values()))[field] = value
        cache_file().write_text(json.dumps(verdicts))
        assert recall([plugin]) == (plugin.record,)


def test_a_signal_without_a_name_is_told_by_number(site: Path) -> None:
    (site / "ends_by_signal.py").write_text("import os\nos.kill(os.getpid(), 40)\n")
    assert run_child("ends_by_signal", [], 60).cause == "it crashed the interpreter with signal 40"


def test_two_kernels_of_one_package_are_told_apart(site: Path) -> None:
    both = "".join(
        f'Kernel(package="fast", probe="{{package}}:{name}", install="i", without="w"), '
        for name in ("one", "two")
    )
    source = SOUND.replace("import ModalitySpec", "import Kernel, ModalitySpec")
    source = source.replace("version=1,", f"version=1, kernels=({both}),")
    write_plugin(
        site, "odd", source + "\n\ndef one():\n    return 'one'\n\n\ndef two():\n    return 'two'\n"
    )
    (record,) = examine(["odd"], timeout_s=60)
    assert [kernel.text for kernel in record.kernels] == ["one", "two"]
    kernel = Kernel("fast", "loretta_plugin_odd:two", "i", "w")
    assert try_kernel("odd", "odd.thing", 1, kernel, 60).text == "two"
