"""What is published: distributions of the framework and of each bundled plugin, alone and together."""

from __future__ import annotations

import json
import math
import random
import struct
import subprocess
import sys
import tarfile
import tomllib
import wave
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def shipped_sources(project: Path) -> set[str]:
    """Files of the import package as they lie in the checkout, relative to where it is imported."""
    place = project if project == ROOT else project / "src"
    (package,) = (p for p in place.glob("loretta_*") if p.suffix != ".egg-info")
    files = (path.relative_to(place) for path in package.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in files
        if not any(part == "__pycache__" or part.endswith("_cache") for part in path.parts)
    }


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_wheel_and_an_sdist_hold_what_they_should_and_nothing_else(
    project: Path, build: Any
) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    built = build(project)
    stem = f"{declared['name'].replace('-', '_')}-{declared['version']}"
    assert built.wheel.name == f"{stem}-py3-none-any.whl"
    assert built.sdist.name == f"{stem}.tar.gz"

    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        info = f"{stem}.dist-info"
        assert {name for name in names if not name.startswith(f"{info}/")} == shipped_sources(
            project
        )
        assert f"{declared['name'].replace('-', '_')}/py.typed" in names
        _check_metadata(wheel.read(f"{info}/METADATA"), declared, project)
        _check_entry_points(wheel.read(f"{info}/entry_points.txt").decode(), declared)
        assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    with tarfile.open(built.sdist) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
        assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= inside
        assert not any(name.startswith(("data/", "runs/", "recipes/")) for name in inside)


def _check_metadata(raw: bytes, declared: dict[str, Any], project: Path) -> None:
    metadata = Metadata.from_email(raw, validate=True)  # raises for each field that is not sound
    assert (metadata.name, str(metadata.version)) == (declared["name"], declared["version"])
    assert metadata.summary == declared["description"]
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert str(metadata.requires_python) == ">=3.11"
    assert metadata.description == (project / "README.md").read_text(encoding="utf-8")
    assert metadata.description_content_type == "text/markdown"
    assert "Typing :: Typed" in (metadata.classifiers or [])
    if project != ROOT:
        needs = [need for need in metadata.requires_dist or [] if need.name == "loretta-framework"]
        assert len(needs) == 1
        assert {item.operator for item in needs[0].specifier} == {">=", "<"}
        assert needs[0].specifier.contains(_version_of_the_framework())


def _check_entry_points(text: str, declared: dict[str, Any]) -> None:
    parser = ConfigParser()
    parser.read_string(text)
    points = {group: dict(parser[group]) for group in parser.sections()}
    if declared["name"] == "loretta-framework":
        assert points == {"console_scripts": {"loretta": "loretta_framework.cli.main:main"}}
        return
    name = declared["name"].removeprefix("loretta-plugin-")
    assert points == {"loretta": {name: f"loretta_plugin_{name}"}}


def _version_of_the_framework() -> str:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(data["project"]["version"])


def test_the_framework_alone_trains_and_says_where_recipes_are(
    build: Any, environment: Any, tmp_path: Path
) -> None:
    outside = environment("core")
    outside.install(build(ROOT).wheel)
    plugins = json.loads(outside.run("loretta", "plugins", "list", "--json", cwd=tmp_path))
    assert [plugin["name"] for plugin in plugins] == ["builtin"]
    _write_sums(tmp_path)
    options = ["--source", "sums", "--out", "shards", "--set", "texts=question,answer"]
    outside.run("loretta", "data", "prepare", "jsonl", *options, cwd=tmp_path)
    outside.run("loretta", "train", "sums.yaml", "--run-dir", "run", cwd=tmp_path)
    assert _last_step(tmp_path / "run")["step"] == 10
    place = outside.run(
        "python", "-c", "import loretta_framework; print(loretta_framework.__file__)", cwd=tmp_path
    )
    assert Path(place).is_relative_to(outside.home)
    command = [outside.home / "bin" / "loretta", "recipe", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the project's own lie in its source tree, not in the installed package" in done.stderr


def test_the_framework_and_the_audio_plugin_from_wheels_run_a_recipe(
    build: Any, environment: Any, tmp_path: Path
) -> None:
    outside = environment("more")
    outside.install(build(ROOT).wheel, build(ROOT / "plugins" / "loretta-plugin-audio").wheel)
    _train_on_tones(outside.run, tmp_path)


@pytest.mark.soak
def test_a_plain_pip_install_of_both_wheels_runs_a_recipe(
    build: Any, environment: Any, tmp_path: Path
) -> None:
    """The slow way, with nothing prepared: pip itself finds everything that is declared."""
    outside = environment("core")
    for link in outside.home.rglob("below.pth"):
        link.unlink()
    wheels = [build(ROOT).wheel, build(ROOT / "plugins" / "loretta-plugin-audio").wheel]
    pip = [sys.executable, "-m", "pip", "--python", outside.python]
    pins = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "install", "--quiet", *pins, *wheels], cwd=tmp_path, check=True)
    subprocess.run([*pip, "check"], cwd=tmp_path, check=True)
    _train_on_tones(outside.run, tmp_path)


def _train_on_tones(loretta: Any, folder: Path) -> None:
    _write_tones(folder)
    options = ["--source", "tones", "--out", "shards", "--set", "files=sound"]
    loretta("loretta", "data", "prepare", "jsonl", *options, cwd=folder)
    loretta("loretta", "train", "tones.yaml", "--run-dir", "run", cwd=folder)
    assert _last_step(folder / "run")["step"] == 10
    heard = ["--from", "text=low", "--to", "sound", "--out", "heard"]
    loretta("loretta", "generate", "run", *heard, cwd=folder)
    assert list((folder / "heard").glob("*.wav"))


def _last_step(run: Path) -> dict[str, Any]:
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert math.isfinite(steps[-1]["loss"])
    return dict(steps[-1])


RECIPE = """
schema_version: 1
name: {name}
modalities: {{{modalities}}}
data:
  train: [{{name: train, shards: "shards/train-*.tar", modalities: [{names}]}}]
backbone: {{kind: transformer, settings: {{width: 32, depth: 1, heads: 2}}}}
train: {{steps: 10, batch_tokens: 128}}
"""


def _write_sums(folder: Path) -> None:
    (folder / "sums").mkdir()
    draw = random.Random(0)
    pairs = [(draw.randrange(10), draw.randrange(10)) for _ in range(16)]
    lines = [json.dumps({"question": f"{a}+{b}", "answer": str(a + b)}) for a, b in pairs]
    (folder / "sums" / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = "{kind: text_bytes, settings: {max_tokens: 8}}"
    (folder / "sums.yaml").write_text(
        RECIPE.format(
            name="sums",
            modalities=f"question: {text}, answer: {text}",
            names="question, answer",
        ),
        encoding="utf-8",
    )


def _write_tones(folder: Path) -> None:
    (folder / "tones").mkdir()
    lines = []
    for number in range(12):
        word, hertz = ("low", 200) if number % 2 else ("high", 900)
        with wave.open(str(folder / "tones" / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            turn = 2 * math.pi * (hertz + number) / 8000
            samples = (int(9000 * math.sin(turn * time)) for time in range(4000))
            file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
        lines.append(json.dumps({"sound": f"{number}.wav", "text": word}))
    (folder / "tones" / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    sound = (
        "{kind: audio.mel_codes, settings: {sample_rate: 8000, codebook_size: 8, max_tokens: 16}}"
    )
    (folder / "tones.yaml").write_text(
        RECIPE.format(
            name="tones",
            modalities=f"sound: {sound}, text: {{kind: text_bytes, settings: {{max_tokens: 8}}}}",
            names="sound, text",
        ),
        encoding="utf-8",
    )
