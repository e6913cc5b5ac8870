"""A run meets other plugins than it was made with: it says so before any weight is read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from loretta_framework.api.errors import CheckpointError, PluginError, RunDirectoryError
from loretta_framework.checkpoint.handshake import require_same_meaning
from loretta_framework.cli.main import main
from loretta_framework.inference import load
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.testing.broken_plugins import write_plugin
from loretta_framework.testing.small_runs import write_small_run
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe
from loretta_framework.train.run import train

SOURCE = """
from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register):
    for name in ("letters.text", "letters.other"):
        register(ModalitySpec(
            name=name, version=VERSION, summary="Text, for tests.",
            settings="loretta_framework.builtin.text_bytes:TextBytesSettings",
            factory="loretta_framework.builtin.text_bytes:TextBytes",
            capabilities=ModalityCapabilities(lossy=False, extensions=("txt",)),
        ))
"""

LETTERS = {"kind": "letters.text", "settings": {"max_tokens": 12}}
TEXT = {"kind": "text_bytes", "settings": {"max_tokens": 12}}


class Site:
    """An import path on which the plugin "letters" is installed anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, version: str = "1.0", component: int = 1) -> None:
        self.uninstall()
        source = SOURCE.replace("VERSION", str(component))
        write_plugin(self.folder, "letters", source, version=version)

    def uninstall(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path)
        for name in [name for name in sys.modules if name.startswith("loretta_plugin_letters")]:
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("LORETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # versions follow within a second
    installed = Site(folder)
    installed.install()
    yield installed
    installed.uninstall()


@pytest.fixture
def run(site: Site, tmp_path: Path) -> Path:
    """An untrained run over the plugin's modality."""
    modalities = {"english": LETTERS, "figures": TEXT, "roman": TEXT}
    return write_small_run(tmp_path / "small", modalities=modalities)


def test_a_plan_tells_who_brings_its_components(run: Path) -> None:
    data = json.loads((run / "plan.json").read_text())
    (letters,) = [plugin for plugin in data["plugins"] if plugin["name"] == "letters"]
    assert letters.pop("record") == letters_record(run)
    assert letters == {
        "name": "letters",
        "distribution": "loretta-plugin-letters",
        "version": "1.0",
        "api": [1, 1],
        "components": {"letters.text": 1},
    }
    plan = Plan.from_json(data)
    assert Plan.from_json(plan.to_json()) == plan
    del data["plugins"]  # as before it was recorded
    older = Plan.from_json(data)
    assert older.plugins == ()
    assert older.hash == plan.hash


def letters_record(run: Path) -> str:
    from hashlib import sha256

    site = run.parents[1] / "site"
    (record,) = site.glob("loretta_plugin_letters-*.dist-info/RECORD")
    return sha256(record.read_bytes()).hexdigest()


def test_a_component_of_another_version_is_refused_with_both_numbers(
    site: Site, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("2.0", component=2)
    with pytest.raises(PluginError) as error:
        load(run)
    expected = (
        "modalities.english: 'letters.text' must have version 1 (loretta-plugin-letters 1.0), "
        "but has version 2 (loretta-plugin-letters 2.0)"
    )
    assert expected in str(error.value)
    assert "pip install loretta-plugin-letters==1.0" in str(error.value)
    for verb in (
        ["generate", str(run), "--to", "roman", "--out", str(run / "out")],
        ["score", str(run), "--from", "english=one", "--to", "roman=i"],
        ["evaluate", str(run)],
    ):
        assert main(verb) == 2
        assert expected in capsys.readouterr().err


def test_a_distribution_of_another_version_is_noted_once(
    site: Site, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("1.1")
    assert main(["score", str(run), "--from", "english=one", "--to", "roman=i"]) == 0
    sentence = "the run was made with loretta-plugin-letters 1.0, but loretta-plugin-letters 1.1 is"
    assert capsys.readouterr().err.count(sentence) == 1


def test_a_missing_plugin_is_told_before_any_weight_is_read(site: Site, run: Path) -> None:
    site.uninstall()
    for weights in run.glob("checkpoints/*/model.safetensors"):
        weights.write_bytes(b"not read")
    with pytest.raises(PluginError) as error:
        load(run)
    text = str(error.value)
    assert (
        "modalities.english needs 'letters.text', which loretta-plugin-letters 1.0 brought" in text
    )
    assert "pip install loretta-plugin-letters==1.0" in text


@pytest.mark.parametrize("place", ["modality", "backbone", "source"])
def test_a_plan_cannot_enable_what_its_recipe_does_not_name(
    site: Site, run: Path, place: str
) -> None:
    file = run / "plan.json"
    data = json.loads(file.read_text())
    component = {**data["modalities"][0]["component"], "kind": "letters.other"}
    if place == "modality":
        data["modalities"][0]["component"] = component
    elif place == "backbone":
        data["backbone"] = component
    else:
        data["sets"][0]["source"] = component
    file.write_text(json.dumps(data))
    sys.modules.pop("loretta_plugin_letters", None)
    with pytest.raises(RunDirectoryError, match=r"plan\.json names 'letters.other' for"):
        load(run)
    assert "loretta_plugin_letters" not in sys.modules


@pytest.fixture
def world(site: Site, tmp_path: Path) -> Path:
    """A recipe that trains in a second."""
    folder = tmp_path / "world"
    folder.mkdir()
    write_bijection_world(folder, count=20)
    recipe = write_recipe(
        folder / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": ["a", "b"], "bc": ["b", "c"]},
        objectives=[{"kind": "causal"}],
        steps=4,
        batch_tokens=100,
        checkpoint={"every_steps": 2, "keep_last": 4},
        backbone={"kind": "transformer", "settings": {"width": 16, "depth": 1, "heads": 1}},
    )
    text = recipe.read_text().replace("kind: text_bytes", "kind: letters.text", 1)
    data = yaml.safe_load(text)
    data["modalities"]["a"]["kind"] = "letters.text"
    recipe.write_text(yaml.safe_dump(data, sort_keys=False))
    torch.set_num_threads(1)
    execute(recipe)
    shutil.rmtree(folder / "run" / "checkpoints" / "step-00000004")
    return folder


def execute(recipe: Path, *overrides: str, resume: bool = False, run: str = "run") -> list[str]:
    """What training says."""
    told: list[str] = []
    defaults = () if "train.threads=2" in overrides else ("train.threads=1",)
    loaded = load_recipe(recipe, [*defaults, "data.workers=0", *overrides])
    train(loaded, recipe.parent / run, resume=resume, say=told.append)
    return told


def test_resuming_without_the_plugin_names_its_version(site: Site, world: Path) -> None:
    site.uninstall()
    with pytest.raises(PluginError) as error:
        execute(world / "small.yaml", resume=True)
    assert "'letters.text', which loretta-plugin-letters 1.0 brought" in str(error.value)
    assert "pip install loretta-plugin-letters==1.0" in str(error.value)


def test_resuming_with_another_component_version_is_refused(site: Site, world: Path) -> None:
    site.install("2.0", component=2)
    with pytest.raises(RunDirectoryError) as error:
        execute(world / "small.yaml", resume=True)
    assert "modalities.a (letters.text) version: must stay 1, but is 2" in str(error.value)


def test_resuming_with_another_package_warns_of_the_bits(site: Site, world: Path) -> None:
    assert not any("bit for bit" in text for text in execute(world / "small.yaml", resume=True))
    shutil.rmtree(world / "run" / "checkpoints" / "step-00000004")
    site.install("1.1")
    told = execute(world / "small.yaml", resume=True)
    (warning,) = [text for text in told if "bit for bit" in text]
    assert warning.startswith("warning: from here on the run is not bit for bit")
    assert "loretta-plugin-letters 1.0 is now loretta-plugin-letters 1.1" in warning
    assert "modalities.a (letters.text) makes" in warning
    recorded = json.loads((world / "run" / "plan.json").read_text())
    assert recorded["versions"]["loretta-plugin-letters"] == "1.1"


def test_resuming_with_other_files_under_the_same_version(site: Site, world: Path) -> None:
    (record,) = site.folder.glob("*/RECORD")
    record.write_text("loretta_plugin_letters/__init__.py,sha256=other,1\n")
    told = execute(world / "small.yaml", resume=True)
    assert any("other files lie under loretta-plugin-letters 1.0" in text for text in told)


def test_resuming_on_another_machine_or_torch(site: Site, world: Path) -> None:
    def elsewhere(state: dict[str, Any]) -> None:
        state["numerics"] |= {"machine": "sparc, VIS3", "torch": "2.1.0"}

    change_state(world / "run", elsewhere)
    told = execute(world / "small.yaml", resume=True)
    (warning,) = [text for text in told if "bit for bit" in text]
    assert "machine was sparc, VIS3, but is " in warning
    assert f"torch was 2.1.0, but is {torch.__version__}" in warning


def change_state(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the state of the newest checkpoint, and its manifest with it."""
    file = max(run.glob("checkpoints/*/state.json"))
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))
    manifest = file.with_name("manifest.json")
    listed = json.loads(manifest.read_text())
    data = file.read_bytes()
    listed["files"][file.name] = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    manifest.write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.threads=2", "train.threads was 1, but is 2 (every sum)"),
        ("train.precision=bf16", "train.precision was fp32, but is bf16 (every sum)"),
    ],
)
def test_resuming_with_numerics_that_the_user_changes(
    site: Site, world: Path, override: str, sentence: str
) -> None:
    told = execute(world / "small.yaml", override, resume=True)
    (warning,) = [text for text in told if "bit for bit" in text]
    assert sentence in warning


def test_a_resume_that_fails_leaves_the_warning_to_the_next(site: Site, world: Path) -> None:
    site.install("1.1")
    plan = (world / "run" / "plan.json").read_text()

    def unusable(state: dict[str, Any]) -> None:
        state["tokenizers"] = {"a": "0" * 64}

    state = max(world.glob("run/checkpoints/*/state.json"))
    manifest = state.with_name("manifest.json")
    kept = {file: file.read_bytes() for file in (state, manifest)}
    change_state(world / "run", unusable)
    with pytest.raises(CheckpointError):
        execute(world / "small.yaml", resume=True)
    assert (world / "run" / "plan.json").read_text() == plan
    for file, data in kept.items():
        file.write_bytes(data)
    told = execute(world / "small.yaml", resume=True)
    assert any("loretta-plugin-letters 1.0 is now loretta-plugin-letters 1.1" in t for t in told)
    after = json.loads((world / "run" / "plan.json").read_text())
    assert {"device", "machine"} <= {reason["key"] for reason in after["reasons"]}


def test_a_checkpoint_of_other_components_than_the_plan_is_refused(site: Site, world: Path) -> None:
    def another(state: dict[str, Any]) -> None:
        state["components"]["modalities.a"]["version"] = 7

    change_state(world / "run", another)
    sentence = "modalities.a: must be 'letters.text' version 1, but is 'letters.text' version 7"
    with pytest.raises(CheckpointError, match=sentence):
        load(world / "run")
    with pytest.raises(CheckpointError, match=sentence):
        execute(world / "small.yaml", resume=True)


def test_starting_from_weights_of_another_package_is_noted(site: Site, world: Path) -> None:
    site.install("1.1")
    told = execute(world / "small.yaml", "init_from=run", run="second")
    sentence = (
        "the weights were made with loretta-plugin-letters 1.0, but loretta-plugin-letters 1.1 is"
    )
    assert sum(sentence in text for text in told) == 1


@pytest.mark.parametrize(
    "distribution",
    ["evil 1.0; rm -rf x", "--index-url=there 1", "git+there 1", "name", "name 1\n2", ""],
)
def test_no_command_is_made_from_what_is_no_package(
    site: Site, run: Path, distribution: str
) -> None:
    file = run / "plan.json"
    data = json.loads(file.read_text())
    data["modalities"][0]["component"]["distribution"] = distribution
    file.write_text(json.dumps(data))
    site.uninstall()
    with pytest.raises(PluginError) as error:
        load(run)
    assert "pip install" not in str(error.value)
    assert "plan.json names no package and version" in str(error.value)


def test_starting_from_weights_of_another_component_version(site: Site, world: Path) -> None:
    site.install("2.0", component=2)
    with pytest.raises(PluginError) as error:
        execute(world / "small.yaml", "init_from=run", run="second")
    assert "modalities.a: 'letters.text' must have version 1, but has version 2" in str(error.value)


def test_starting_from_weights_of_another_kind_keeps_no_id_rows_of_it(
    site: Site, world: Path
) -> None:
    told = execute(world / "small.yaml", "init_from=run", run="second")
    assert any("id rows kept for a, b, c" in text for text in told)
    override = "modalities.a={kind: letters.other, settings: {min_tokens: 4, max_tokens: 4}}"
    told = execute(world / "small.yaml", "init_from=run", override, run="third")
    assert any("id rows kept for b, c" in text for text in told)


@pytest.mark.parametrize("saved", ["x", {"a": 1}, {"a": {"kind": "x"}}, {"a": {"version": []}}])
def test_a_damaged_table_of_components(saved: object) -> None:
    with pytest.raises(CheckpointError, match="its table of components is damaged"):
        require_same_meaning(saved, {}, "here")
