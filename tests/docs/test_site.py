"""Every code block of the site runs, and the site builds without a warning.

    python     run in the order of the page, in one namespace
    yaml       a whole recipe is checked, a part of one is read key by key
    console    each `$ loretta ...` line is run, in order; `--conformance` is left out, since
               tests/project/test_scaffold.py runs the kit on packages as they are scaffolded
    toml json  parsed
    text       shown only

A block below `<!-- file: NAME -->` is also written to that file first.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.cli.main import main
from loretta_framework.recipe.schema import Recipe
from loretta_framework.recipe.yaml_reader import parse_yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if page.parent.name not in ("design", "hooks") and page.name != "data.md"
)
"""`data.md` has a test of its own, which also compares what its commands give."""

FOLLOWS = {"generation": ["index.md"]}
"""Pages that go on with the run of others."""

_FENCE = re.compile(r"(?:<!-- file: (\S+) -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'--8<-- "(.+)"')
QUICK = ("--set", "train.threads=1", "--set", "data.workers=0")
STEPS = ("--set", "train.steps=6")
"""Training commands of the site are run for a few steps."""


@dataclass(frozen=True)
class Block:
    file: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(page.read_text(encoding="utf-8"))]


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) > 20
    languages = [block.language for page in PAGES for block in blocks(page)]
    assert set(languages) <= {"python", "yaml", "console", "toml", "json", "text", ""}
    assert languages.count("console") >= 8


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem
)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*FOLLOWS.get(page.stem, ()), page.name]:
        work_through(page.parent / name, tmp_path, monkeypatch, capfd)


def work_through(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for block in blocks(page):
        if block.file and block.language != "python":
            (folder / block.file).write_text(block.text, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        snippet = _SNIPPET.search(block.text)
        if snippet:
            assert (ROOT / snippet[1]).is_file(), snippet[1]
        elif block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
        elif block.language == "yaml":
            check_yaml(block, folder)
        elif block.language == "console":
            for command in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE):
                run(command, capfd, monkeypatch)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            for line in block.text.splitlines():
                json.loads(line)


def run(command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = shlex.split(command)
    if program == "pip":
        install(words[-1], monkeypatch)
        return
    assert program == "loretta", command
    if "doctor" in words:
        words = [word for word in words if word != "--conformance"]
    if words[0] == "train":
        words += [*QUICK, *(() if "train.steps" in command or "--resume" in words else STEPS)]
    assert main(words) == 0, (command, capfd.readouterr())


def install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would, but into a folder of the test, and nothing is downloaded."""
    site = Path("site").resolve()
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--target", str(site))
    subprocess.run([sys.executable, "-m", "pip", "install", *options, f"./{package}"], check=True)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))


def check_yaml(block: Block, place: Path) -> None:
    tree = parse_yaml(block.text, block.file or "part.yaml").data
    unknown = set(tree) - set(Recipe.model_fields)
    assert not unknown, f"no key of a recipe: {unknown}"
    if "schema_version" in tree:
        (place / (block.file or "recipe.yaml")).write_text(block.text, encoding="utf-8")
        assert main(["recipe", "check", "--static", block.file or "recipe.yaml"]) == 0


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in ("index", "reference/recipe/index", "reference/cli/index", "errors/plugin/index"):
        text = (tmp_path / f"{page}.html").read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', text), page
    recipe = (tmp_path / "reference" / "recipe" / "index.html").read_text(encoding="utf-8")
    assert all(f"<code>{name}</code>" in recipe for name in Recipe.model_fields)


def test_every_kind_of_error_has_a_page_and_every_page_a_kind() -> None:
    from loretta_framework.api import errors

    kinds = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.LorettaError)
    }
    pages = {page.stem for page in (DOCS / "errors").glob("*.md")}
    assert pages == kinds - {"loretta", "user"}


def test_every_hook_and_public_name_is_documented() -> None:
    from loretta_framework.api import hooks

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in vars(hooks):
        if name.startswith("register_"):
            assert name in text, name
