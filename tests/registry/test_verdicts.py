"""The doctor's rows, and what `plugins list` recalls of them without importing anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loretta_framework.api.errors import PluginError
from loretta_framework.registry import PluginRecord, Registry
from loretta_framework.registry.doctor import examine
from loretta_framework.registry.records import installed
from loretta_framework.registry.verdicts import recall
from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin


def recalled(name: str) -> PluginRecord:
    (record,) = [record for record in recall(installed()) if record.name == name]
    return record


ROWS = {
    "crashes": "it crashed the interpreter with SIGSEGV",
    "ends_the_interpreter": "it ended the interpreter with exit code 7",
    "exits": "SystemExit: 3",
    "broken_settings": "settings of 'odd.thing': AttributeError",
    "broken_factory": "factory of 'odd.thing': ModuleNotFoundError",
}


@pytest.mark.parametrize("fault", sorted(ROWS))
def test_the_doctor_survives_and_is_remembered(site: Path, fault: str) -> None:
    write_plugin(site, "odd", FAULTS[fault])
    assert recalled("odd").status == "unchecked"
    (record,) = examine(["odd"], timeout_s=60)
    assert record.status == "broken"
    assert ROWS[fault] in record.cause
    assert "loretta_framework" not in record.file  # the fault is not the registry's
    assert recalled("odd") == record
    assert "loretta_plugin_odd" not in sys.modules


def test_a_hang_is_a_row(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["hangs"])
    (record,) = examine(["odd"], timeout_s=0.5)
    assert record.status == "broken"
    assert record.cause == "it did not finish within 0.5 s"


def test_the_last_line_of_a_dying_plugin_is_kept(site: Path) -> None:
    source = "import os\nos.write(2, b'no driver\\n')\nos._exit(7)\n"
    write_plugin(site, "odd", source)
    (record,) = examine(["odd"], timeout_s=60)
    assert record.cause == "it ended the interpreter with exit code 7; its last line: no driver"


def test_a_sound_plugin_is_ok_and_a_new_installation_is_unchecked(site: Path) -> None:
    write_plugin(site, "fine")
    (record,) = examine(["fine"], timeout_s=60)
    assert (record.status, record.components) == ("ok", ("fine.thing",))
    assert recalled("fine") == record
    (site / "loretta_plugin_fine-1.0.dist-info" / "RECORD").write_text("reinstalled\n")
    assert recalled("fine").status == "unchecked"


def test_what_use_finds_broken_is_remembered_until_it_is_mended(site: Path) -> None:
    file = write_plugin(site, "odd", FAULTS["raises"])
    write_plugin(site, "fine")
    Registry.discover({"odd", "fine"})
    assert recalled("odd").status == "broken"
    assert recalled("odd").place == f"{file}:1"
    assert recalled("fine").status == "unchecked"
    file.write_text(SOUND.replace("{name}", "odd").replace("{package}", "loretta_plugin_odd"))
    file.touch()
    sys.modules.pop("loretta_plugin_odd", None)
    Registry.discover({"odd"})
    assert recalled("odd").status == "ok"


def test_heavy_settings_and_missing_extras_are_notes(site: Path) -> None:
    write_plugin(site, "odd")
    parts = site / "loretta_plugin_odd" / "parts.py"
    parts.write_text("import torch\n" + parts.read_text())
    (site / "torch.py").write_text("")
    write_plugin(site, "bare", FAULTS["broken_factory"])
    (site / "loretta_plugin_bare" / "absent.py").write_text(
        "from loretta_framework.api import MissingDependencyError\n"
        "raise MissingDependencyError('mamba-ssm is absent', fix='pip install mamba-ssm')\n"
    )
    odd, bare = sorted(examine(["odd", "bare"], timeout_s=60), key=lambda r: r.name, reverse=True)
    assert odd.status == bare.status == "ok"
    assert "its settings import torch" in odd.note
    assert "'bare.thing' cannot be used: mamba-ssm is absent -> pip install mamba-ssm" in bare.note


def test_an_unusable_cache_is_no_failure(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(site, "fine")
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where the directory should be")
    monkeypatch.setenv("LORETTA_CACHE", str(occupied))
    (record,) = examine(["fine"], timeout_s=60)
    assert record.status == "ok"
    assert recalled("fine").status == "unchecked"
    monkeypatch.setenv("LORETTA_CACHE", str(tmp_path))
    for content in ("{", "[]", "{}"):
        (tmp_path / "plugins.json").write_text(content)
        assert recalled("fine").status == "unchecked"


def test_an_unknown_name_is_refused_with_the_nearest(site: Path) -> None:
    write_plugin(site, "fine")
    with pytest.raises(
        PluginError, match=r"no plugin 'fines' is installed \(did you mean 'fine'\?\)"
    ):
        list(examine(["fines"], timeout_s=60))
