"""The registry: which components there are, and the truth about those that cannot be used."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from loretta_framework.api.errors import PluginError, nearest
from loretta_framework.api.specs import ComponentSpec
from loretta_framework.registry import notices, verdicts
from loretta_framework.registry.loading import Components, Group, load
from loretta_framework.registry.records import (
    BUILTIN,
    CORE,
    UNUSABLE,
    InstalledPlugin,
    PluginRecord,
    installed,
)
from loretta_framework.registry.switches import REMEDIES, STRICT, Switches, import_seconds

BUNDLED = (
    "text",
    "image",
    "audio",
    "omics",
    "signals",
    "video",
    "tables",
    "mamba",
    "hyena",
    "llm",
    "diffusion",
)
"""Plugins of this project, so that an error can name the install command of an absent one."""


class Registry:
    """Installed components by name. Holds specs and records only, so it can be pickled.

    A plugin that was not needed at discovery stays unimported until one of its components is asked
    for by name: that is how a plugin reuses another's component that the recipe does not name.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, list[PluginRecord]] = {}
        self._pending: dict[str, InstalledPlugin] = {}
        self._components: Components = {}
        self._owners: dict[str, list[PluginRecord]] = {}
        self._named: frozenset[str] | None = None

    @classmethod
    def discover(
        cls, needed: Collection[str] | None = None, named: Collection[str] | None = None
    ) -> Registry:
        """Load the built-in plugin and the installed ones.

        Args:
            needed: entry-point names to load; None loads all. Others are listed as "unchecked".
            named: the plugins that the recipe of a run names: components of others are refused, so
                that nothing else (a changed plan.json, a factory) can enable one. None: no limit.

        A plugin that cannot be used is a record; the error comes when a component of it is asked
        for. With `LORETTA_STRICT_PLUGINS=1` all are loaded, and one that cannot be used is fatal.

        Raises:
            PluginError: plugins are strict and some cannot be used; all of them are named.
            InputError: a variable that switches or limits plugins holds what it must not.
        """
        import_seconds()  # a mistake in it is the user's, not that of the first plugin it meets
        registry = cls()
        registry._named = None if named is None else frozenset({BUILTIN, *named})
        for plugin in installed():
            record = plugin.record
            if record.status == "unchecked":
                registry._pending[record.name] = plugin
            registry._plugins.setdefault(record.name, []).append(record)
        strict = Switches.read().strict
        for name in list(registry._pending):
            if strict or needed is None or name == BUILTIN or name in needed:
                registry._load(name)
        if strict:
            _require_usable(registry.records)
        registry._tell_of_others(needed)
        return registry

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """Every installed plugin, the built-in first, then by name."""
        return tuple(record for group in self._plugins.values() for record in group)

    def names(self, group: Group) -> tuple[str, ...]:
        """Component names of a group, of the plugins loaded so far, sorted."""
        return tuple(sorted(n for n, (kind, _) in self._components.items() if kind == group))

    def spec(self, group: Group, name: str) -> ComponentSpec:
        """The spec of a component.

        Raises:
            PluginError: there is none of that name and group, or its plugin cannot be used; the
                message tells which, with the recorded cause.
        """
        kind, spec = self._find(name, group)
        if kind != group:
            raise PluginError(
                f"'{name}' is {_article(kind)}, but {_article(group)} is needed here",
                fix=f"one of: {', '.join(self.names(group))}",
            )
        return spec

    def component(self, name: str) -> ComponentSpec:
        """The spec of a component of any group.

        Raises:
            PluginError: there is no such component, or its plugin cannot be used.
        """
        return self._find(name, "component")[1]

    def group(self, name: str) -> Group:
        """The group of a component.

        Raises:
            PluginError: there is no such component, or its plugin cannot be used.
        """
        kind, _ = self._find(name, "component")
        return kind

    def distribution(self, component: str) -> str:
        """Who brings a component, as "name version".

        Raises:
            PluginError: there is no such component, or its plugin cannot be used.
        """
        return self.provider(component).source

    def provider(self, component: str) -> PluginRecord:
        """The plugin that brings a component.

        Raises:
            PluginError: there is no such component, or its plugin cannot be used.
        """
        self._find(component, "component")
        return self._owners[component][0]

    def require(self, plugin: str) -> PluginRecord:
        """The record of a plugin that can be used, loaded.

        Raises:
            PluginError: it is not installed, or cannot be used.
        """
        self._load(plugin)
        for record in self._plugins.get(plugin, []):
            if record.status != "ok":
                raise _unusable(plugin, record)
            return record
        known = sorted(self._plugins)
        raise PluginError(
            f"no plugin '{plugin}' is installed{nearest(plugin, known)}",
            fix=f"installed: {', '.join(known)}",
        )

    def _find(self, name: str, wanted: str) -> tuple[Group, ComponentSpec]:
        plugin = name.partition(".")[0] if "." in name else BUILTIN
        for prefix in _prefixes(name):
            if self._named is not None and prefix in self._plugins and prefix not in self._named:
                raise PluginError(
                    f"'{name}' needs the plugin '{prefix}', which the recipe does not name",
                    fix="name the component in the recipe; do not trust a run that others changed",
                )
            self._load(prefix)
        if name in self._components:
            return self._components[name]
        for prefix in _prefixes(name) or [BUILTIN]:
            for record in self._plugins.get(prefix, []):
                if record.status != "ok" and (prefix != BUILTIN or record.distribution == CORE):
                    raise _unusable(name, record)
        raise self._unknown(name, plugin, wanted)

    def _unknown(self, name: str, plugin: str, wanted: str) -> PluginError:
        what = f"unknown {wanted} '{name}'"
        if plugin in self._plugins:
            known = [
                n for n, (kind, _) in self._components.items() if wanted in (kind, "component")
            ]
            fix = f"run `loretta plugins list` for what is installed; known: {', '.join(sorted(known))}"
            return PluginError(f"{what}{nearest(name, known)}", fix=fix)
        if plugin in BUNDLED:
            return PluginError(
                f"{what}: the plugin '{plugin}' is not installed",
                fix=f"pip install loretta-plugin-{plugin}",
            )
        close = nearest(plugin, [*self._plugins, *BUNDLED])
        return PluginError(
            f"{what}: no plugin '{plugin}' is installed{close}",
            fix="install the package that brings it, or correct the name before the dot",
        )

    def _load(self, name: str) -> None:
        plugin = self._pending.pop(name, None)
        if plugin is None:
            return
        (known,) = verdicts.recall([plugin])
        if name != BUILTIN and (known.deadly or (known.inside and Switches.read().strict)):
            self._set(known)
            return
        loaded = load(plugin)
        self._set(loaded.record)
        verdicts.remember_change(plugin, loaded.record)
        for component, (group, spec) in loaded.components.items():
            self._owners.setdefault(component, []).append(loaded.record)
            self._components[component] = (group, spec)
        for component in loaded.components:
            if len(self._owners[component]) > 1:
                self._collide(component)

    def _tell_of_others(self, needed: Collection[str] | None) -> None:
        """One line on the plugins that cannot be used and that nobody asked for; imports none."""
        pending = verdicts.recall(self._pending.values())
        others = {record.name: record for record in pending if record.status in UNUSABLE}
        for record in self.records:
            if record.status in UNUSABLE and (needed is None or record.name not in needed):
                others[record.name] = record
        if others:
            named = "; ".join(
                f"{record.name} ({record.source}) is {record.status}: {record.cause}"
                for record in others.values()
            )
            notices.listener()(f"plugins that are not needed here cannot be used: {named}")

    def _collide(self, component: str) -> None:
        """Two plugins bring one component: neither is used, whichever was loaded first."""
        rivals = self._owners[component]
        sources = " and by ".join(f"{record.name} ({record.source})" for record in rivals)
        for record in rivals:
            cause = f"the component '{component}' is brought by {sources}"
            self._set(replace(record, status="collision", cause=cause, components=()))
            for name in record.components:
                self._components.pop(name, None)

    def _set(self, record: PluginRecord) -> None:
        self._plugins[record.name] = [
            record if known.source == record.source else known
            for known in self._plugins[record.name]
        ]


def _prefixes(name: str) -> list[str]:
    """What may be the plugin of "a.b.c": "a", then "a.b"."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _require_usable(records: Iterable[PluginRecord]) -> None:
    found = [record for record in records if record.status in UNUSABLE]
    if found:
        named = "\n".join(
            f"  {record.name} ({record.source}) is {record.status}: {record.cause}"
            + (f" ({record.place})" if record.place else "")
            for record in found
        )
        raise PluginError(
            f"plugins are strict (--strict-plugins or {STRICT}), and these cannot be used:\n{named}",
            fix="mend or upgrade them, then: loretta plugins doctor; or switch them off with -x",
        )


def _unusable(name: str, record: PluginRecord) -> PluginError:
    what = f"'{name}' needs the plugin '{record.name}' of {record.source}"
    if record.status == "disabled":
        fix = REMEDIES[record.cause].format(name=record.name)
        return PluginError(f"{what}, which is switched off: {record.cause}", fix=fix)
    if record.status == "collision":
        return PluginError(
            f"{what}, but {record.cause}; neither is used",
            fix="uninstall one of the two packages",
        )
    fix = f"mend it, or: pip install --upgrade {record.distribution}"
    if record.distribution == CORE:
        fix = f"reinstall it: pip install --force-reinstall --no-deps {CORE}"
    if record.deadly:
        fix = f"mend or upgrade it, then (or if it was only slow): loretta plugins doctor {record.name}"
    return PluginError(
        f"{what}, which is {record.status}: {record.cause}", where=record.place, fix=fix
    )
