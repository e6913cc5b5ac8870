"""Every way to be broken ends as a record with its cause, and stops no other plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.api.errors import InputError, PluginError
from loretta_framework.registry import Builder, PluginRecord, Registry
from loretta_framework.registry.promises import require_promises, settings_class
from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin

CAUSES = {
    "raises": ("broken", "RuntimeError: no such codec", 1),
    "missing_package": ("broken", "No module named 'a_package_that_nobody_has'", 1),
    "syntax": ("broken", "SyntaxError", 1),
    "exits": ("broken", "SystemExit: 3", 2),
    "interrupts": ("broken", "KeyboardInterrupt", 1),
    "raises_a_base_exception": ("broken", "GeneratorExit", 1),
    "no_hook": ("broken", "it implements no hook", 0),
    "misspelt_hook": (
        "broken",
        "no hook 'register_modalites' (did you mean 'register_modalities'?)",
        5,
    ),
    "wrong_argument": ("broken", "PluginValidationError", 0),
    "wrong_kind": ("broken", "must be given BackboneSpec, but is given ModalitySpec", 7),
    "not_a_spec": ("broken", "must be given ModalitySpec, but is given dict", 7),
    "wrong_prefix": ("broken", "'thing': the name must start with 'odd.'", 7),
    "wrong_version": ("broken", "must be an integer from 1, but is 'one'", 7),
    "no_summary": ("broken", "the summary must not be empty", 7),
    "wrong_reference": ("broken", "must be 'module:attribute', but is", 7),
    "wrong_api_range": ("broken", "must be (oldest, newest), but is (2, 1)", 7),
    "too_new": ("incompatible", "plugin API 998..999, but this framework speaks 1..1", 0),
    "too_old": ("incompatible", "plugin API -2..-1, but this framework speaks 1..1", 0),
    "registers_twice": ("broken", "it registers 'odd.thing' twice", 16),
    "half_registered": ("broken", "OSError: disk gone", 16),
}


def record_of(registry: Registry, name: str) -> PluginRecord:
    (record,) = [record for record in registry.records if record.name == name]
    return record


@pytest.mark.parametrize("fault", sorted(CAUSES))
def test_a_broken_plugin_is_a_record_and_fatal_only_when_needed(site: Path, fault: str) -> None:
    status, cause, line = CAUSES[fault]
    file = write_plugin(site, "odd", FAULTS[fault])
    write_plugin(site, "sound")
    registry = Registry.discover({"odd", "sound"})

    record = record_of(registry, "odd")
    assert record.status == status
    assert cause in record.cause
    assert record.components == ()
    assert record.line == line
    assert (record.distribution, record.version) == ("loretta-plugin-odd", "1.0")
    if line:
        assert record.file == str(file)
    assert registry.spec("modality", "sound.thing").name == "sound.thing"
    assert "odd.thing" not in registry.names("modality")
    with pytest.raises(PluginError) as error:
        registry.spec("modality", "odd.thing")
    assert cause in str(error.value)
    assert "loretta-plugin-odd 1.0" in str(error.value)
    assert error.value.exit_code == 2


def test_every_fault_that_can_be_loaded_is_covered_here_or_by_the_doctor() -> None:
    by_the_doctor = {"ends_the_interpreter", "crashes", "hangs", "loops"}
    noted = {"prints", "imports_torch", "forks", "changes_the_process"}
    when_used = {"broken_settings", "broken_factory", *IN_USE}
    assert set(FAULTS) == set(CAUSES) | by_the_doctor | noted | when_used


def test_the_place_is_in_the_plugin_when_the_library_it_calls_fails(site: Path) -> None:
    file = write_plugin(site, "odd", "import json\n\nDATA = json.loads('{')\n" + SOUND)
    record = record_of(Registry.discover({"odd"}), "odd")
    assert (record.file, record.line) == (str(file), 3)


def test_what_a_plugin_prints_does_not_reach_the_output(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(site, "odd", FAULTS["prints"])
    assert record_of(Registry.discover({"odd"}), "odd").status == "ok"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "noise" in captured.err


def test_framework_range_is_checked_again_at_run_time(site: Path) -> None:
    write_plugin(site, "odd", requires=["numpy", "Loretta_Framework>=77"])
    write_plugin(site, "fine", requires=["loretta-framework>=0.1; python_version>'3'"])
    registry = Registry.discover({"odd", "fine"})
    assert record_of(registry, "fine").status == "ok"
    record = record_of(registry, "odd")
    assert record.status == "incompatible"
    assert "needs Loretta_Framework>=77, but loretta-framework 0.1.0 is installed" in record.cause


def test_unreadable_metadata_is_a_record(site: Path) -> None:
    write_plugin(site, "odd")
    (site / "loretta_plugin_odd-1.0.dist-info" / "METADATA").unlink()
    write_plugin(site, "worse")
    points = site / "loretta_plugin_worse-1.0.dist-info" / "entry_points.txt"
    points.write_text("[loretta]\nnonsense\n")
    binary = site / "binary-1.0.dist-info"
    binary.mkdir()
    (binary / "entry_points.txt").write_bytes(b"\xff\xfe[loretta]")
    records = [record for record in Registry.discover(set()).records if record.name == "?"]
    assert sorted(Path(record.file).name for record in records) == [
        "loretta_plugin_odd-1.0.dist-info",
        "loretta_plugin_worse-1.0.dist-info",
    ]
    assert all(record.status == "broken" for record in records)
    assert all("installed metadata cannot be read" in record.cause for record in records)


def test_a_broken_factory_module_is_named_when_it_is_built(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["broken_factory"])
    write_plugin(site, "bad", FAULTS["broken_settings"])
    builder = Builder(Registry.discover({"odd", "bad"}))
    with pytest.raises(PluginError, match=r"'odd.thing' of loretta-plugin-odd 1.0 cannot be used"):
        builder.build("odd.thing", {})
    with pytest.raises(PluginError, match="NoSuchSettings"):
        builder.build("bad.thing", {})


IN_USE = {
    "wrong_settings": ("must be a subclass of loretta_framework.api.ModalitySettings", "is Wrong"),
    "no_bounds": ("Wrong has no bounds()", "unbounded.py:5"),
    "factory_raises": ("the factory of 'odd.thing' (plugin 'odd' of", "ValueError: no codebook"),
    "factory_exits": ("the factory of 'odd.thing' (plugin 'odd' of", "SystemExit: 3"),
}


@pytest.mark.parametrize("fault", ["wrong_settings", "factory_raises", "factory_exits"])
def test_a_fault_in_use_names_plugin_distribution_file_and_line(site: Path, fault: str) -> None:
    file = write_plugin(site, "odd", FAULTS[fault])
    with pytest.raises(PluginError) as error:
        Builder(Registry.discover({"odd"})).build("odd.thing", {})
    text = str(error.value)
    for part in (*IN_USE[fault], "loretta-plugin-odd 1.0"):
        assert part in text
    line = next(
        number
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.startswith(("class Wrong", "    raise"))
    )
    assert f"{file}:{line}" in text


def test_a_forgotten_bounds_method_is_named(site: Path) -> None:
    write_plugin(site, "odd", FAULTS["no_bounds"])
    spec = Registry.discover({"odd"}).spec("modality", "odd.thing")
    settings = settings_class(spec)()
    with pytest.raises(PluginError) as error:
        require_promises(spec, settings)
    for part in IN_USE["no_bounds"]:
        assert part in str(error.value)


def test_errors_that_tell_the_user_already_are_left_as_they_are(site: Path) -> None:
    source = FAULTS["factory_raises"].replace(
        "raise ValueError('no codebook')",
        "from loretta_framework.api import InputError\n    raise InputError('no such weights')",
    )
    write_plugin(site, "odd", source)
    with pytest.raises(InputError, match=r"^no such weights$"):
        Builder(Registry.discover({"odd"})).build("odd.thing", {})
