"""Requirements and pins agree, and the files that a checkout promises are there."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def pins() -> dict[str, str]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"constraints.txt must pin with ==, but has {line!r}"
            found[canonicalize_name(name)] = version
    return found


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_every_direct_dependency_is_pinned_inside_its_range(project: Path) -> None:
    data = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = data.get("optional-dependencies", {})
    if project.parent == ROOT:
        assert {"dev", "tracking", "svl-digits"} <= set(extras)
    for text in [*data["dependencies"], *(item for extra in extras.values() for item in extra)]:
        need = Requirement(text)
        name = canonicalize_name(need.name)
        if name.startswith("loretta-"):
            continue
        assert name in pins(), f"{need.name} is not pinned in constraints.txt"
        assert need.specifier.contains(pins()[name]), f"{need} against {pins()[name]}"


def test_the_order_of_rooms_covers_every_room() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = data["tool"]["importlinter"]["contracts"][0]
    placed = {room.strip() for layer in contract["layers"] for room in layer.split("|")}
    core = ROOT / "loretta_framework"
    rooms = {path.parent.name for path in core.glob("*/__init__.py")}
    rooms |= {path.stem for path in core.glob("*.py")} - {"__init__"}
    assert rooms == placed | set(contract["exhaustive_ignores"])


def test_every_bundled_plugin_is_under_the_import_rules() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py")}
    assert packages
    assert packages <= set(data["tool"]["importlinter"]["root_packages"])
    for contract in data["tool"]["importlinter"]["contracts"][2:]:
        assert packages <= set(contract.get("source_modules", contract.get("modules")))


def test_packages_that_stay_out_of_the_environment_are_pinned_and_found_by_tests() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\nexport LORETTA_EXTRAS ?= $(CURDIR)/.extras\n" in makefile
    (line,) = (line for line in makefile.splitlines() if line.startswith("EXTRAS := "))
    extras = line.removeprefix("EXTRAS := ").split()
    assert extras == ["torchvision", "torchaudio", "timm"]
    assert set(extras) <= set(pins())


def test_what_a_checkout_offers() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("setup", "lint", "test", "soak", "docs", "dist", "demo", "ablation-fast"):
        assert f"\n{target}:" in makefile
        assert f"make {target} " in makefile.partition("help:\n")[2].partition("\n\n")[0]
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
