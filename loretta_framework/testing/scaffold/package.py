"""Packages made of the templates beside this file."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from loretta_framework.api.errors import InputError
from loretta_framework.testing.scaffold.names import PluginName

KINDS = ("modality", "backbone", "objective")
"""What a template brings; each has a folder of its name."""

_TEMPLATES = Path(__file__).parent / "templates"
_EVERY_KIND = "every_kind"


def package_files(kind: str, name: PluginName) -> dict[str, str]:
    """What a new package consists of: path within it, with slashes -> content."""
    files: dict[str, str] = {}
    for folder in (_TEMPLATES / _EVERY_KIND, _TEMPLATES / kind):
        for path in _files(folder):
            place = name.replaced(path.relative_to(folder).as_posix())
            assert place not in files, f"two templates become {place}"
            files[place] = name.replaced(path.read_text(encoding="utf-8"))
    return files


def write_package(kind: str, name: PluginName, out: Path) -> None:
    """Write a new package to the folder `out`: aside, then renamed, so that it is whole or absent.

    Raises:
        InputError: `out` exists already, or cannot be written.
    """
    aside = out.parent / f".{out.name}.tmp-{secrets.token_hex(6)}"
    try:
        if out.exists() or out.is_symlink():
            fix = "name another folder with --out, or remove it"
            raise InputError("it exists already", where=str(out), fix=fix)
        for place, content in package_files(kind, name).items():
            path = aside / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        aside.rename(out)
    except OSError as error:
        what = f"the package cannot be written: {error.strerror or error}"
        fix = "name a folder in a place where you may write"
        raise InputError(what, where=str(out), fix=fix) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """Files of a template, without what running or checking it left behind."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.endswith(("_cache", "__pycache__")) for part in parts):
            yield path
