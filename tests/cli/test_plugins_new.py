"""`loretta plugins new`: what it writes, what it says, what it refuses."""

from __future__ import annotations

import os
import shlex
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.errors import InputError
from loretta_framework.cli.main import main
from loretta_framework.registry.discovery import BUNDLED
from loretta_framework.testing.broken_plugins import write_plugin
from loretta_framework.testing.scaffold import KINDS, PluginName, checked_name, package_files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [("modality", "a modality"), ("backbone", "a backbone"), ("objective", "an objective")],
)
def test_it_writes_a_package_and_says_what_to_do_next(
    kind: str, phrase: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", "tide", "--kind", kind]) == 0
    said = capsys.readouterr().out
    assert f"wrote loretta-plugin-tide, which brings {phrase}" in said
    for step in (
        "pip install --editable 'loretta-plugin-tide[test]'",
        "loretta plugins doctor tide",
        "pytest loretta-plugin-tide",
    ):
        assert f"  {step}\n" in said
    package = here / "loretta-plugin-tide"
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "loretta-plugin-tide"
    assert project["entry-points"]["loretta"] == {"tide": "loretta_plugin_tide"}
    assert (package / "src" / "loretta_plugin_tide" / "__init__.py").is_file()
    assert os.listdir(here) == ["loretta-plugin-tide"]


def test_it_writes_where_it_is_told_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = here / "deep" / "inside"
    assert main(["plugins", "new", "tide", "--kind", "modality", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert (out / "README.md").is_file()
    assert os.listdir(out.parent) == ["inside"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "Tide",
            "9tide",
            "_tide",
            "tide-gauge",
            "tide.gauge",
            "ti de",
            "class",
            "true",
            "ebb\n",
            "é",
            "rna_",
            "rna__seq",
            "template",
        ),
        "x" * 41,
    ],
)
def test_a_name_that_cannot_be_a_modules_is_refused(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", name, "--kind", "modality"]) == 2
    assert "a plugin's name must be a lower-case letter and then" in capsys.readouterr().err
    assert not os.listdir(here)


@pytest.mark.parametrize("name", ["builtin", *BUNDLED])
def test_names_of_this_projects_own_plugins_are_refused(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", name, "--kind", "backbone"]) == 2
    assert f"plugin name '{name}': the name belongs to a plugin of this project" in (
        capsys.readouterr().err
    )
    assert not os.listdir(here)


def test_the_name_of_an_installed_plugin_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = here / "site"
    site.mkdir()
    write_plugin(site, "gauge")
    monkeypatch.syspath_prepend(str(site))
    assert main(["plugins", "new", "gauge", "--kind", "modality"]) == 2
    assert "a plugin of this name is installed" in capsys.readouterr().err
    assert os.listdir(here) == ["site"]


def test_what_exists_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for occupant in ("folder", "file", "link"):
        place = here / occupant
        if occupant == "folder":
            place.mkdir()
        elif occupant == "file":
            place.write_text("mine", encoding="utf-8")
        else:
            place.symlink_to(here / "nowhere")
        assert main(["plugins", "new", "tide", "--kind", "modality", "--out", occupant]) == 2
        assert f"{occupant}: it exists already" in capsys.readouterr().err
    assert sorted(os.listdir(here)) == ["file", "folder", "link"]
    assert (here / "file").read_text(encoding="utf-8") == "mine"
    assert not os.listdir(here / "folder")


def test_a_place_that_cannot_be_written_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("", encoding="utf-8")
    assert main(["plugins", "new", "tide", "--kind", "modality", "--out", "file/inside"]) == 2
    assert "file/inside: the package cannot be written: Not a directory" in capsys.readouterr().err
    assert os.listdir(here) == ["file"]


def test_a_place_of_too_long_a_name_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = "x" * 300
    assert main(["plugins", "new", "tide", "--kind", "modality", "--out", out]) == 2
    assert f"{out}: the package cannot be written: File name too long" in capsys.readouterr().err
    assert not os.listdir(here)


def test_the_commands_shown_can_be_pasted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = "it's here"
    assert main(["plugins", "new", "tide", "--kind", "modality", "--out", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  ")]
    assert commands == [
        ["pip", "install", "--editable", f"{out}[test]"],
        ["loretta", "plugins", "doctor", "tide"],
        ["pytest", out],
    ]


def test_no_name_lets_two_files_of_a_package_become_one() -> None:
    for kind in KINDS:
        places = package_files(kind, PluginName("tide"))
        modules = {Path(place).stem.removeprefix("test_") for place in places}
        for text in modules:
            try:
                name = checked_name(text, (), ())
            except InputError:
                continue
            assert len(package_files(kind, name)) == len(places), (kind, text)


def test_what_running_a_new_package_leaves_is_not_committed() -> None:
    for kind in KINDS:
        ignored = package_files(kind, PluginName("tide"))[".gitignore"].splitlines()
        assert {"/out/", "/runs/"} <= set(ignored)


def test_a_kind_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "tide"]) == 2
    assert main(["plugins", "new", "tide", "--kind", "callback"]) == 2
    assert "'callback' is not one of" in capsys.readouterr().err
    assert not os.listdir(here)


@given(st.text(max_size=6))
def test_a_name_that_passes_can_be_imported(text: str) -> None:
    try:
        name = checked_name(text, (), ())
    except InputError:
        return
    compile(
        f"import loretta_plugin_{name.text}\nclass {name.replaced('Template')}: pass", "", "exec"
    )
    assert name.distribution == f"loretta-plugin-{text}"
