"""Wheels of this project, and environments that know nothing else of it.

`make setup` leaves two environments beside the checkout: `.clean/core` with what the framework
declares to need, `.clean/more` on top of it with pytest and what the audio plugin declares. A fresh
environment is an empty one that sees these through a .pth file, which takes a second instead of the
half minute, the gigabyte and the network that installing torch again takes. What this project ships
comes from wheels alone, and pip refuses to install one whose declared requirements are not met.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from loretta_framework.testing.conformance.running import SLOW_SWITCH

ROOT = Path(__file__).parents[2]
CLEAN = ROOT / ".clean"
LEFTOVERS = ("build", "dist", "*.egg-info", "__pycache__", ".*_cache")
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


@dataclass(frozen=True)
class Built:
    """One project's distributions."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment, used from a folder that is not the checkout."""

    home: Path

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    def install(self, *wheels: Path) -> None:
        """Install wheels offline; requirements that are not met are an error."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        variables = {**self._variables(), "PIP_CONFIG_FILE": os.devnull}
        _checked([*pip, "--no-index", *wheels], cwd=self.home, env=variables)

    def run(self, *command: str | Path, cwd: Path) -> str:
        """What an installed command, `python` among them, prints."""
        path = self.home / "bin" / str(command[0])
        return _checked([path, *command[1:]], cwd=cwd, env=self._variables())

    def _variables(self) -> dict[str, str]:
        foreign = ("PYTHON", "PIP_", "LORETTA_", "PYTEST_", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        kept |= {name: os.environ[name] for name in (SLOW_SWITCH,) if name in os.environ}
        cache = str(self.home / "cache")
        return {**kept, "LORETTA_CACHE": cache, "PATH": f"{self.home}/bin:{kept.get('PATH', '')}"}


def _checked(command: list[str | Path], cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    words = " ".join(map(str, command))
    assert done.returncode == 0, f"{words} gave {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests that all its worker processes see."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with open(lock, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def build(shared: Path) -> Callable[[Path], Built]:
    """Builds a project's sdist and, from it, its wheel; once for all worker processes.

    It works on a copy: a build writes into the tree that it builds, where other tests look.
    """

    def built(project: Path) -> Built:
        name = project.name if project != ROOT else "loretta-framework"
        out = shared / "dist" / name
        with _alone(shared / f"{name}.lock"):
            if not out.is_dir():
                copy = _copy(project, shared / "sources" / name)
                partial = out.with_suffix(".partial")
                command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", partial]
                _checked([*command, copy], cwd=shared)
                partial.rename(out)
        (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
        return Built(wheel, sdist)

    return built


def _copy(project: Path, folder: Path) -> Path:
    """The project, without what earlier builds left; of the root nothing but the framework."""
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns(*LEFTOVERS)
    if project != ROOT:
        return Path(shutil.copytree(project, folder, ignore=ignore))
    for name in ("loretta_framework", "tests", "recipes"):
        shutil.copytree(project / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project / name, folder)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], Environment]:
    """Makes an empty environment on top of `.clean/core` or `.clean/more`."""

    def make(layer: str) -> Environment:
        below = CLEAN / layer / SITE
        assert (CLEAN / ".setup").is_file(), "the clean environments are absent: run `make setup`"
        home = tmp_path / "environment"
        _checked([sys.executable, "-m", "venv", "--without-pip", home], cwd=tmp_path)
        paths = [below, *([CLEAN / "core" / SITE] if layer != "core" else [])]
        lines = "\n".join(map(str, paths))
        (home / SITE / "below.pth").write_text(lines, encoding="utf-8")
        return Environment(home)

    return make
