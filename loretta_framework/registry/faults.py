"""Names a plugin's failure: what was raised, and the line of the plugin's own code."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy

from loretta_framework.api import specs
from loretta_framework.api.errors import PluginError
from loretta_framework.registry.guard import RaisedByPlugin
from loretta_framework.registry.records import (
    BUILTIN,
    InstalledPlugin,
    PluginRecord,
    printable,
)

FIX = "report it to the authors of that package, or use another version of it"


class Misuse(Exception):
    """The plugin broke a rule of registration, at a place the traceback may not show."""

    def __init__(self, text: str, file: str = "", line: int = 0) -> None:
        self.text, self.file, self.line = text, file, line
        super().__init__(text)


def broken(plugin: InstalledPlugin, error: BaseException) -> PluginRecord:
    """The record of a plugin that failed with this error: cause, file and line."""
    if isinstance(error, Misuse):
        cause = error.text
        file, line = error.file, error.line
    else:
        cause, file, line = cause_of(error), "", 0
    if not file:
        file, line = place_of(error, package_of(plugin))
    return replace(plugin.record, status="broken", cause=cause, file=file, line=line)


def cause_of(error: BaseException) -> str:
    """Type and first line of an error: "ValueError: no such codec"."""
    if isinstance(error, RaisedByPlugin):
        return cause_of(error.error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {printable(text[0])}" if text else type(error).__name__


def package_of(plugin: InstalledPlugin) -> str:
    """The import package in which a plugin's own code lies."""
    return plugin.entry_point.module.partition(".")[0] if plugin.entry_point else BUILTIN


def place_of(error: BaseException, package: str) -> tuple[str, int]:
    """The last line of the package's own code before the failure, else the last line at all."""
    if isinstance(error, RaisedByPlugin):
        return place_of(error.error, package)
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return own_line([(frame.filename, frame.lineno or 0) for frame in reversed(frames)], package)


def own_line(frames: Sequence[tuple[str, int]], package: str) -> tuple[str, int]:
    """The first of these frames, innermost first, that is of the package; else the first at all.

    Frames of loading itself do not count. ("", 0) when none is left.
    """
    outside = [frame for frame in frames if not frame[0].startswith(_MACHINERY)]
    own = [frame for frame in outside if package in Path(frame[0]).with_suffix("").parts]
    return (own or outside or [("", 0)])[0]


def blamed(spec: specs.ComponentSpec, source: str, what: str, error: BaseException) -> PluginError:
    """The error for a component whose code failed: who brings it, what was raised, and where.

    Args:
        spec: of the component.
        source: who brings it, as "name version".
        what: of the component failed, for example "the factory".
        error: what was raised.
    """
    package = spec.factory.partition(":")[0].partition(".")[0]
    file, line = place_of(error, package)
    plugin = spec.name.rpartition(".")[0] or BUILTIN
    return PluginError(
        f"{what} of '{spec.name}' (plugin '{plugin}' of {source}) raised {cause_of(error)}",
        where=f"{file}:{line}" if file else spec.factory,
        fix=FIX,
    )


def place_of_class(found: Any) -> str:
    """File and line of a class, "" when they cannot be told."""
    try:
        return f"{inspect.getsourcefile(found)}:{inspect.getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return ""


_MACHINERY = (
    "<frozen",
    str(Path(__file__).parent),
    str(Path(importlib.__file__).parent),
    str(Path(pluggy.__file__).parent),
    str(Path(contextlib.__file__)),
    str(Path(specs.__file__)),
)
"""Where the frames of loading itself lie."""
