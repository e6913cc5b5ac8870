"""The install page names every extra that there is, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
COMPILED = {"flash-attn", "mamba-ssm", "causal-conv1d"}
"""What is built from source nearly everywhere, with a compiler that most machines lack."""


def extras() -> dict[str, list[Requirement]]:
    """What each extra of each distribution asks for, as "distribution[extra]"."""
    found = {}
    for project in PROJECTS:
        data = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        for extra, needs in data.get("optional-dependencies", {}).items():
            found[f"{data['name']}[{extra}]"] = [Requirement(need) for need in needs]
    return found


def test_the_page_names_every_extra_and_no_other() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(loretta-[a-z-]+\[[a-z0-9-]+\])`", page, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == set(extras())
    assert set(re.findall(r"loretta-[a-z-]+\[[a-z0-9,-]+\]", page)) <= set(rows)


def test_extras_named_in_messages_and_pages_exist() -> None:
    files = [
        *ROOT.glob("loretta_framework/**/*.py"),
        *ROOT.glob("plugins/*/src/**/*.py"),
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "README.md",
    ]
    known = extras()
    for file in files:
        text = file.read_text(encoding="utf-8")
        for name, many in re.findall(r"(loretta-(?:framework|plugin-\w+))\[([\w,-]+)\]", text):
            for extra in many.split(","):
                if (name, extra) != ("loretta-plugin-tide", "test"):
                    assert f"{name}[{extra}]" in known, file


def test_all_is_every_optional_package_that_needs_no_compiler() -> None:
    found = extras()
    (everything,) = found["loretta-framework[all]"]
    own = {name.partition("[")[2][:-1] for name in found if name.startswith("loretta-framework[")}
    assert everything.name == "loretta-framework"
    assert everything.extras == own - {"all", "docs", "dev", "flash"}
    for extra in everything.extras:
        needs = {need.name for need in found[f"loretta-framework[{extra}]"]}
        assert not needs & COMPILED
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    optional = {need.name for needs in found.values() for need in needs}
    for kernel in COMPILED & optional:
        assert f"\n| {kernel} |" in page


def test_the_page_gives_the_range_of_torch_that_is_declared() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (torch,) = (need for need in data["dependencies"] if need.startswith("torch"))
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"'(torch>=[^']+)'", page)) == {torch}


def test_compiled_packages_are_asked_for_only_by_extras() -> None:
    for project in PROJECTS:
        data = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        assert not {Requirement(need).name for need in data["dependencies"]} & COMPILED
