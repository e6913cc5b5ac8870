"""Switching plugins off: by environment, for this process and for its children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loretta_framework.api.errors import InputError, PluginError
from loretta_framework.registry import Registry, notices
from loretta_framework.registry.doctor import examine
from loretta_framework.registry.switches import SAFE_MODE, STRICT, WITHOUT, Switches, switched
from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WITHOUT, SAFE_MODE, STRICT):
        monkeypatch.delenv(name, raising=False)


def statuses() -> dict[str, str]:
    return {record.name: record.status for record in Registry.discover().records}


def test_a_plugin_is_left_out_by_name(site: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        write_plugin(site, name)
    with switched(["alpha", "beta"], safe=False, strict=False):
        found = statuses()
        assert (found["alpha"], found["beta"], found["gamma"]) == ("disabled", "disabled", "ok")
        with pytest.raises(PluginError) as error:
            Registry.discover({"alpha"}).spec("modality", "alpha.thing")
    assert "'alpha.thing' needs the plugin 'alpha' of loretta-plugin-alpha 1.0" in str(error.value)
    assert f"switched off: -x (or {WITHOUT}) names it" in str(error.value)
    assert "leave out -x alpha" in str(error.value)
    assert statuses()["alpha"] == "ok"
    assert WITHOUT not in os.environ


def test_safe_mode_uses_the_builtin_plugin_alone(site: Path) -> None:
    write_plugin(site, "alpha")
    with switched([], safe=True, strict=False):
        used = {name for name, status in statuses().items() if status == "ok"}
        with pytest.raises(PluginError, match="switched off: --safe-mode") as error:
            Registry.discover({"alpha"}).spec("modality", "alpha.thing")
    assert used == {"builtin"}
    assert "leave out --safe-mode" in str(error.value)
    assert "loretta_plugin_alpha" not in sys.modules


def test_switches_add_to_those_of_the_environment(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WITHOUT, "beta, alpha")
    monkeypatch.setenv("LORETTA_PLUGINS", "gamma,delta")
    with switched(["gamma"], safe=False, strict=False):
        switches = Switches.read()
        assert switches.without == {"alpha", "beta", "gamma"}
        assert [bool(switches.refusal(name)) for name in ("gamma", "delta")] == [True, False]
    assert os.environ[WITHOUT] == "beta, alpha"


@pytest.mark.parametrize("variable", [SAFE_MODE, STRICT])
def test_a_switch_is_0_or_1(site: Path, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "0")
    Registry.discover(())
    monkeypatch.setenv(variable, "yes")
    with pytest.raises(InputError, match=f"{variable}: must be 0 or 1, but is 'yes'"):
        Registry.discover(())


def test_strict_names_every_plugin_that_cannot_be_used(site: Path) -> None:
    write_plugin(site, "alpha")
    file = write_plugin(site, "odd", FAULTS["raises"])
    write_plugin(site, "new", FAULTS["too_new"])
    write_plugin(site, "twin")
    write_plugin(site, "twin", distribution="other-twin")
    with switched([], safe=False, strict=True), pytest.raises(PluginError) as error:
        Registry.discover(())
    text = str(error.value)
    assert f"odd (loretta-plugin-odd 1.0) is broken: RuntimeError: no such codec ({file}:1)" in text
    assert "new (loretta-plugin-new 1.0) is incompatible: " in text
    assert "twin (other-twin 1.0) is collision: " in text
    assert "alpha" not in text
    assert error.value.exit_code == 2
    with switched(["odd", "new", "twin"], safe=False, strict=True):
        Registry.discover(())


def test_strict_refuses_by_the_doctors_word_what_would_kill_it(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["ends_the_interpreter"])
    list(examine(["odd"], timeout_s=60))
    with switched([], safe=False, strict=True), pytest.raises(PluginError, match="exit code 7"):
        Registry.discover(())


def test_a_plugin_that_the_doctor_saw_dying_is_not_imported_until_it_is_mended(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loretta_framework.registry.doctor.SURE_SECONDS", 4)
    file = write_plugin(site, "odd", FAULTS["loops"])
    (record,) = examine(["odd"], timeout_s=4)
    assert record.deadly
    assert (record.cause, record.place) == ("it did not finish within 4 s", f"{file}:1")
    with pytest.raises(PluginError) as error:
        Registry.discover({"odd"}).spec("modality", "odd.thing")
    assert "which is broken: it did not finish within 4 s" in str(error.value)
    assert str(file) in str(error.value)
    assert "loretta plugins doctor odd" in str(error.value)
    file.write_text(SOUND.replace("{name}", "odd").replace("{package}", "loretta_plugin_odd"))
    list(examine(["odd"], timeout_s=60))
    assert Registry.discover({"odd"}).spec("modality", "odd.thing").version == 1


def test_one_line_tells_of_broken_plugins_that_nobody_needs(site: Path) -> None:
    write_plugin(site, "fine")
    write_plugin(site, "odd", FAULTS["raises"])
    write_plugin(site, "twin")
    write_plugin(site, "twin", distribution="other-twin")
    list(examine(["odd"], timeout_s=60))
    told: list[str] = []
    with notices.heard_by(told.append):
        for _ in range(3):
            Registry.discover({"fine"})
    assert len(told) == 1
    assert "\n" not in told[0]
    assert "odd (loretta-plugin-odd 1.0) is broken: RuntimeError: no such codec" in told[0]
    assert "is collision: the plugin name 'twin' is claimed by" in told[0]
    assert "loretta_plugin_odd" not in sys.modules
    told.clear()
    with notices.heard_by(told.append):
        Registry.discover({"fine", "odd", "twin"})  # an error will tell
    assert told == []


def test_children_obey(site: Path) -> None:
    write_plugin(site, "alpha")
    script = (
        "from loretta_framework.registry import Registry\n"
        "print({r.name: r.status for r in Registry.discover().records}['alpha'])\n"
    )
    with switched(["alpha"], safe=False, strict=False):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        (record,) = examine(["alpha"], timeout_s=60)
    assert done.stdout == b"disabled\n"
    assert record.status == "disabled"
