"""`requires:` entries against the distributions that are installed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from importlib import metadata

from loretta_framework.api.errors import Problem
from loretta_framework.recipe.yaml_reader import KeyPath


def requirement_problems(requires: Sequence[str], place: Callable[[KeyPath], str]) -> list[Problem]:
    """What is missing, too old or too new, each with the install command."""
    found = [_problem(text, place(("requires", n))) for n, text in enumerate(requires)]
    return [problem for problem in found if problem is not None]


def _problem(text: str, where: str) -> Problem | None:
    from packaging.requirements import InvalidRequirement, Requirement  # most recipes need none

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        what = f"must be a distribution with a version range, but is '{text}' ({reason})"
        return Problem(what, where, "write it as for pip: 'loretta-plugin-image>=0.1'")
    if requirement.url:
        return Problem("must not name a URL; a recipe never says where code comes from", where)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    fix = f"pip install {shlex.quote(f'{requirement.name}{requirement.specifier}')}"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Problem(f"needs {text}, which is not installed", where, fix)
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return Problem(f"needs {text}, but {requirement.name} {version} is installed", where, fix)
