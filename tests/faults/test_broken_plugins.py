"""Twelve ways to be broken, all installed at once: what does not need them works, what needs one
says the true cause."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loretta_framework.cli.main import main
from loretta_framework.registry.doctor import examine
from loretta_framework.testing.broken_plugins import FAULTS, write_plugin
from loretta_framework.testing.small_runs import write_small_run

WAYS = {
    "import_error": (FAULTS["missing_package"], "No module named 'a_package_that_nobody_has'"),
    "syntax_error": (FAULTS["syntax"], "SyntaxError"),
    "exit_at_import": (FAULTS["exits"], "SystemExit: 3"),
    "wrong_spec": (FAULTS["not_a_spec"], "must be given ModalitySpec, but is given dict"),
    "half_registered": (FAULTS["half_registered"], "OSError: disk gone"),
    "unknown_hook": (FAULTS["misspelt_hook"], "there is no hook 'register_modalites'"),
    "old_api": (FAULTS["too_old"], "was written for plugin API -2..-1"),
    "name_clash": (FAULTS["prints"], "the plugin name 'name_clash' is claimed by"),
    "interrupt_at_import": (FAULTS["interrupts"], "KeyboardInterrupt"),
    "hang_at_import": (FAULTS["hangs"], "it did not finish within 0.5 s"),
    "wrong_settings": (FAULTS["wrong_settings"], "must be a subclass of loretta_framework.api."),
    "no_bounds": (FAULTS["no_bounds"], "Wrong has no bounds()"),
}
"""Way -> source, and what whoever needs it is told."""

HEAVY = {"heavy_import": (FAULTS["imports_torch"], "it imports torch")}
"""It works, and slows down whoever needs it; the others must not feel it."""

IN_USE = {
    "factory_raises": (FAULTS["factory_raises"], "ValueError: no codebook"),
    "factory_absent": (FAULTS["broken_factory"], "ModuleNotFoundError: No module named"),
}
"""As above; the recipe is sound, building the component is not."""


class Place:
    """A folder with a run and its recipe, where every installed plugin is broken."""

    def __init__(self, folder: Path) -> None:
        self.site, self.folder = folder / "site", folder / "small"
        self.site.mkdir()
        self.folder.mkdir()
        for name, (source, _) in {**WAYS, **IN_USE, **HEAVY}.items():
            write_plugin(self.site, name, source)
        write_plugin(self.site, "name_clash", distribution="other-clash")
        self.run = write_small_run(self.folder)
        self.recipe = self.folder / "run.yaml"
        self.shards = self.folder / "shards"

    def needing(self, plugin: str) -> list[str]:
        return ["--set", f"modalities.english={{kind: {plugin}.thing}}"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("broken")
        patch.setenv("LORETTA_CACHE", str(folder / "cache"))
        patch.setenv("PYTHONPATH", str(folder / "site"))
        patch.syspath_prepend(str(folder / "site"))
        found = Place(folder)
        patch.setattr("loretta_framework.registry.doctor.SURE_SECONDS", 0.5)
        list(examine(["hang_at_import"], timeout_s=0.5))
        yield found


def imported() -> list[str]:
    told = ("_at_", "heavy_import")
    found = [name for name in sys.modules if name.startswith("loretta_plugin_")]
    return [name for name in found if any(word in name for word in told)]


WORKS = [
    ["--help"],
    ["plugins", "list"],
    ["plugins", "--help"],
    ["plugins", "doctor", "builtin"],
    ["--safe-mode", "recipe", "check", "{recipe}"],
    ["recipe", "list", "{folder}"],
    ["recipe", "check", "{recipe}"],
    ["recipe", "check", "--dynamic", "{recipe}"],
    ["recipe", "show", "{recipe}"],
    ["recipe", "graph", "{recipe}"],
    ["recipe", "schema"],
    ["recipe", "fill", "{recipe}"],
    ["recipe", "explain", "{recipe}", "train.steps"],
    ["data", "index", "{shards}"],
    ["data", "lint", "{shards}", "--recipe", "{recipe}"],
    ["data", "preview", "{shards}", "--recipe", "{recipe}"],
    ["train", "{recipe}", "--tiny", "--run-dir", "{folder}/tiny"],
    ["generate", "{run}", "--from", "english=one", "--to", "roman", "--out", "{folder}/out/"],
    ["score", "{run}", "--from", "english=one", "--to", "roman=i"],
    ["evaluate", "{run}"],
]


@pytest.mark.parametrize("command", WORKS, ids=lambda command: "-".join(command[:2]))
def test_what_does_not_need_them_works(
    place: Place, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    if "train" in command:
        command = [*command, "--set", "train.threads=1", "--set", "data.workers=0"]
    code = main([word.format(**vars(place)) for word in command])
    captured = capfd.readouterr()
    assert code == 0, captured
    assert "Traceback" not in captured.err
    assert imported() == []


def test_real_processes_work(place: Place) -> None:
    for command in (["plugins", "list"], ["recipe", "check", "--static", str(place.recipe)]):
        done = subprocess.run(
            [sys.executable, "-m", "loretta_framework.cli.main", *command],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert "hang_at_import (loretta-plugin-hang_at_import 1.0) is broken" in note
    assert "name_clash (other-clash 1.0) is collision" in note


def test_a_heavy_import_is_noted_by_the_doctor(place: Place) -> None:
    (record,) = examine(list(HEAVY), timeout_s=120)
    assert record.status == "ok"
    assert HEAVY["heavy_import"][1] in record.note


@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_needs_one_says_the_true_cause(
    place: Place, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cause = WAYS[way][1]
    for verb in (["recipe", "check"], ["train", "--tiny", "--run-dir", str(place.folder / "no")]):
        assert main([*verb, str(place.recipe), *place.needing(way)]) == 2
        told = capfd.readouterr().err
        assert cause in told
        assert f"loretta-plugin-{way} 1.0" in told
        assert "Traceback" not in told
        assert "modalities.english" in told
    assert not (place.folder / "no").exists()


@pytest.mark.parametrize("way", sorted(IN_USE))
def test_a_component_that_cannot_be_built_is_told_with_its_place(
    place: Place, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "check", str(place.recipe), *place.needing(way)]) == 0
    capfd.readouterr()
    run = str(place.folder / "no")
    code = main(["train", str(place.recipe), "--tiny", "--run-dir", run, *place.needing(way)])
    told = capfd.readouterr().err
    assert code == 2
    assert IN_USE[way][1] in told
    assert f"loretta-plugin-{way} 1.0" in told
    assert f"{place.site}/loretta_plugin_{way}/__init__.py:" in told or way == "factory_absent"
    assert "Traceback" not in told


def test_a_recipe_that_needs_one_can_still_be_shown(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    for way in ("exit_at_import", "hang_at_import"):
        assert main(["recipe", "show", str(place.recipe), *place.needing(way)]) == 0
        captured = capfd.readouterr()
        assert f"kind: {way}.thing" in captured.out
        assert WAYS[way][1] in captured.err


def test_safe_mode_and_x_are_the_true_cause_too(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    check = ["recipe", "check", str(place.recipe), *place.needing("no_bounds")]
    assert main(["--safe-mode", *check]) == 2
    assert "switched off: --safe-mode" in capfd.readouterr().err
    assert main(["-x", "no_bounds", "--without", "old_api", *check]) == 2
    assert "switched off: -x" in capfd.readouterr().err
    assert main(["-x", "no_bound", *check]) == 2
    assert "no plugin 'no_bound' is installed (did you mean 'no_bounds'?)" in capfd.readouterr().err
    assert main(["-x", "builtin", *check]) == 2
    assert "the built-in plugin cannot be left out" in capfd.readouterr().err


def test_strict_plugins_stop_what_loads_plugins_and_nothing_else(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["-x", "heavy_import", "--strict-plugins", "recipe", "check", str(place.recipe)]
    assert main(command) == 2
    told = capfd.readouterr().err
    for way, (_, cause) in WAYS.items():
        if way not in ("wrong_settings", "no_bounds"):  # the doctor has not looked at them
            assert way in told
            assert cause in told
    assert "Traceback" not in told
    assert main(["--strict-plugins", "plugins", "list"]) == 0
