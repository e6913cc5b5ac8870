"""What is installed, read from metadata alone: no plugin is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from hashlib import sha256
from importlib import metadata
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from loretta_framework.api.errors import PluginError, nearest
from loretta_framework.api.version import API_VERSION, ENTRY_POINT_GROUP
from loretta_framework.registry.switches import Switches

BUILTIN = "builtin"
"""Name of the core's own plugin. Its components have no prefix."""

CORE = "loretta-framework"
"""The distribution that brings it."""

Status: TypeAlias = Literal["ok", "broken", "incompatible", "collision", "disabled", "unchecked"]

KernelStatus: TypeAlias = Literal["ok", "absent", "broken", "crashed", "timeout"]


def printable(text: str) -> str:
    """The text with escapes for what would move a terminal's cursor or break a row."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Printable:
    """Every text of a record can be shown: it comes from packages that others wrote."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, str) and not value.isprintable():
                object.__setattr__(self, item.name, printable(value))


@dataclass(frozen=True, slots=True)
class KernelRecord(_Printable):
    """What the doctor found of an optional kernel of a component.

    Attributes:
        component: who takes it when it is there and works.
        package: the distribution that brings it.
        status: "absent" when it is not installed; "broken" when it is, and cannot be used.
        text: what works, or what is wrong.
        install: the command that installs it.
    """

    component: str
    package: str
    status: KernelStatus
    text: str
    install: str


@dataclass(frozen=True, slots=True)
class PluginRecord(_Printable):
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
        deadly: the doctor saw it end, crash or block the interpreter: it is not imported again until
            the doctor found it mended.
        inside: it registers, but what it registered is broken: seen by the doctor, not at import.
        kernels: optional kernels of its components, as the doctor found them.
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
    deadly: bool = False
    inside: bool = False
    kernels: tuple[KernelRecord, ...] = ()

    @property
    def source(self) -> str:
        """Distribution and version, for example "loretta-plugin-audio 0.1.0"."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def place(self) -> str:
        """File and line of the failure, "" when unknown."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def to_json(self) -> dict[str, Any]:
        """Plain data; `verdict` reads it back."""
        lists = {"components": list(self.components), "kernels": list(map(asdict, self.kernels))}
        return {**asdict(self), **lists}

    def verdict(self, data: Mapping[str, Any]) -> PluginRecord:
        """This installation, with what `to_json`'s data says of it.

        Raises:
            KeyError, TypeError: the data is not of this version.
        """
        plain = {name: data[name] for name in VERDICT}
        for name, value in plain.items():
            if type(value) is not VERDICT[name]:
                raise TypeError(f"{name} must be {VERDICT[name].__name__}, but is {value!r}")
        if plain["status"] not in get_args(Status) or not _texts(plain["components"]):
            raise TypeError("no such status, or a component's name is no text")
        kernels = tuple(KernelRecord(**item) for item in plain["kernels"])
        if not all(
            _texts(asdict(kernel).values()) and kernel.status in get_args(KernelStatus)
            for kernel in kernels
        ):
            raise TypeError("a kernel's row is damaged")
        return replace(
            self,
            **{
                **plain,
                "components": tuple(map(printable, plain["components"])),
                "kernels": kernels,
            },
        )


def _texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


VERDICT: dict[str, type] = {
    "status": str,
    "cause": str,
    "file": str,
    "line": int,
    "components": list,
    "note": str,
    "deadly": bool,
    "inside": bool,
    "kernels": list,
}
"""Fields that say what was found, as opposed to what is installed, and how JSON holds them."""

UNUSABLE = ("broken", "incompatible", "collision")
"""Statuses of plugins that ought to work and do not."""


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


@cache
def core_version() -> str:
    """Version of the installed framework; "0" when it runs from a tree that was never installed."""
    try:
        return _about(metadata.distribution(CORE)).version
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


def record_digest(distribution: str) -> str:
    """sha256 of a distribution's RECORD, which lists its files with their digests; "" without one.

    Another digest under the same version number means that other code was installed under it.
    """
    try:
        text = metadata.distribution(distribution).read_text("RECORD")
    except (metadata.PackageNotFoundError, OSError, UnicodeDecodeError):
        return ""
    return sha256(text.encode()).hexdigest() if text else ""


def require_known(names: Iterable[str], plugins: Iterable[InstalledPlugin]) -> None:
    """Each name is that of an installed plugin.

    Raises:
        PluginError: one is not; the message has the nearest.
    """
    known = sorted({plugin.record.name for plugin in plugins})
    for name in names:
        if name not in known:
            raise PluginError(
                f"no plugin '{name}' is installed{nearest(name, known)}",
                fix=f"installed: {', '.join(known)}",
            )


def _announced(distribution: metadata.Distribution) -> Iterable[InstalledPlugin]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return  # no installer wrote that; whose it is cannot be told
    if not re.search(rf"^\s*\[{ENTRY_POINT_GROUP}\]", text, re.MULTILINE):
        return  # spares reading the metadata of everything else that is installed
    try:
        name, version, requires = _about(distribution)
        points = list(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
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


class _About(NamedTuple):
    name: str
    version: str
    requires: tuple[str, ...]


def _about(distribution: metadata.Distribution) -> _About:
    # The standard library parses METADATA as an e-mail, long description and all, each time that
    # one of its fields is asked for: most of the time of `plugins list`.
    modern = distribution.read_text("METADATA")
    text = modern or distribution.read_text("PKG-INFO") or ""
    lines = _FIELD.findall(text.partition("\n\n")[0])
    first = {key: value.strip() for key, value in reversed(lines)}
    if not first.get("Name") or not first.get("Version"):
        raise ValueError("METADATA is missing or has no Name or Version")
    requires = [value.strip() for key, value in lines if key == "Requires-Dist"]
    if not requires and modern is None:  # an egg-info may keep them in a file of their own
        requires = distribution.requires or []
    return _About(first["Name"], first["Version"], tuple(requires))


_FIELD = re.compile(r"^(Name|Version|Requires-Dist):(.*)$", re.MULTILINE)


def _judged(plugins: list[InstalledPlugin]) -> Iterable[InstalledPlugin]:
    switches = Switches.read()
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
            elif refusal := switches.refusal(record.name):
                record = replace(record, status="disabled", cause=refusal)
            elif len(rivals) > 1:
                cause = f"the plugin name '{record.name}' is claimed by {' and by '.join(rivals)}"
                record = replace(record, status="collision", cause=cause)
        yield replace(plugin, record=record)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _stamp(*parts: str) -> str:
    text = "\0".join((*parts, core_version(), str(API_VERSION)))
    return sha256(text.encode()).hexdigest()
