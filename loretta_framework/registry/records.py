"""What is installed, read from metadata alone: no plugin is imported here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib import metadata
from typing import Any, Literal, TypeAlias

from loretta_framework.api.hooks import ENTRY_POINT_GROUP
from loretta_framework.api.version import API_VERSION

BUILTIN = "builtin"
"""Name of the core's own plugin. Its components have no prefix."""

CORE = "loretta-framework"
"""The distribution that brings it."""

ALLOW_LIST = "LORETTA_PLUGINS"
"""Environment variable: comma-separated plugins that may be used. Unset: all; empty: none."""

Status: TypeAlias = Literal["ok", "broken", "incompatible", "collision", "disabled", "unchecked"]


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What is known of a plugin.

    Attributes:
        name: entry-point name, the prefix of its components.
        distribution: the package that brings it.
        version: version of that package.
        status: "unchecked" until it was loaded or doctored.
        cause: why it cannot be used, "" when it can.
        file: where it failed, "" when unknown.
        line: line in that file, 0 when unknown.
        components: names of what it registered.
        note: a fault that does not stop it from being used.
    """

    name: str
    distribution: str
    version: str
    status: Status = "unchecked"
    cause: str = ""
    file: str = ""
    line: int = 0
    components: tuple[str, ...] = ()
    note: str = ""

    @property
    def source(self) -> str:
        """Distribution and version, for example "loretta-plugin-audio 0.1.0"."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def place(self) -> str:
        """File and line of the failure, "" when unknown."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "components": list(self.components)}


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An announced plugin: its record, its entry point, and what tells one installation apart.

    Attributes:
        record: "unchecked", or why it cannot even be tried.
        entry_point: None for the built-in and where metadata is unreadable.
        requires: requirement strings of the distribution.
        stamp: changes when the distribution is installed anew.
    """

    record: PluginRecord
    entry_point: metadata.EntryPoint | None = None
    requires: tuple[str, ...] = ()
    stamp: str = ""


def core_version() -> str:
    """Version of the installed framework; "0" when it runs from a tree that was never installed."""
    try:
        return metadata.version(CORE)
    except metadata.PackageNotFoundError:
        return "0"


def installed() -> tuple[InstalledPlugin, ...]:
    """The built-in plugin, then every announced one, sorted by name.

    Switched off and colliding plugins are marked as such; all others are "unchecked".
    """
    version = core_version()
    core = InstalledPlugin(PluginRecord(BUILTIN, CORE, version), stamp=_stamp(BUILTIN, version))
    found: dict[tuple[str, ...], InstalledPlugin] = {}
    for distribution in metadata.distributions():
        for plugin in _announced(distribution):
            # The same package is seen twice through a lib64 link, and through the egg-info of an
            # editable install. Python imports the first on the path, so the first counts.
            record = plugin.record
            key = (_normalised(record.distribution), record.name, record.file)
            found.setdefault(key, plugin)
    return (core, *_judged(sorted(found.values(), key=lambda p: (p.record.name, p.record.source))))


def _announced(distribution: metadata.Distribution) -> Iterable[InstalledPlugin]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return  # no installer wrote that; whose it is cannot be told
    if not re.search(rf"^\s*\[{ENTRY_POINT_GROUP}\]", text, re.MULTILINE):
        return  # spares reading the metadata of everything else that is installed
    try:
        name, version = distribution.metadata["Name"], distribution.version
        points = list(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
        if not name:
            raise ValueError("METADATA is missing or has no Name")
        requires = tuple(distribution.requires or ())
        stamp = _stamp(
            name,
            version,
            str(distribution.locate_file("")),
            distribution.read_text("RECORD") or "",
            distribution.read_text("direct_url.json") or "",
        )
    except Exception as error:
        # The public interface tells only the site directory, which would not say which one it is.
        where = str(getattr(distribution, "_path", distribution.locate_file("")))
        cause = f"its installed metadata cannot be read: {type(error).__name__}: {error}"
        yield InstalledPlugin(PluginRecord("?", "?", "", "broken", cause, where))
        return
    for point in points:
        yield InstalledPlugin(PluginRecord(point.name, name, version), point, requires, stamp)


def _judged(plugins: list[InstalledPlugin]) -> Iterable[InstalledPlugin]:
    allowed = allow_list()
    for plugin in plugins:
        record = plugin.record
        rivals = [
            other.record.source
            for other in plugins
            if other.record.name == record.name and other.record.status == "unchecked"
        ]
        if record.status == "unchecked":
            if record.name == BUILTIN:
                cause = f"the name '{BUILTIN}' belongs to {CORE}"
                record = replace(record, status="collision", cause=cause)
            elif allowed is not None and record.name not in allowed:
                cause = f"{ALLOW_LIST} does not list it"
                record = replace(record, status="disabled", cause=cause)
            elif len(rivals) > 1:
                cause = f"the plugin name '{record.name}' is claimed by {' and by '.join(rivals)}"
                record = replace(record, status="collision", cause=cause)
        yield replace(plugin, record=record)


def allow_list() -> frozenset[str] | None:
    """The plugins named in `LORETTA_PLUGINS`, None when the variable is unset."""
    text = os.environ.get(ALLOW_LIST)
    if text is None:
        return None
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _stamp(*parts: str) -> str:
    text = "\0".join((*parts, core_version(), str(API_VERSION)))
    return sha256(text.encode()).hexdigest()
