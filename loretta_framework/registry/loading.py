"""Loads one plugin alone, so that its failure is a record and never the end of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import pluggy

from loretta_framework.api import hooks, specs
from loretta_framework.api.errors import nearest
from loretta_framework.api.version import API_MIN, API_VERSION, ENTRY_POINT_GROUP
from loretta_framework.registry.faults import Misuse, broken
from loretta_framework.registry.guard import RaisedByPlugin, guarded
from loretta_framework.registry.records import (
    BUILTIN,
    CORE,
    InstalledPlugin,
    PluginRecord,
    core_version,
)
from loretta_framework.registry.weight import Weight

Group: TypeAlias = Literal["modality", "backbone", "objective", "callback", "evaluator", "source"]
"""Kind of component."""

GROUPS: dict[Group, tuple[str, type[specs.ComponentSpec]]] = {
    "modality": ("register_modalities", specs.ModalitySpec),
    "backbone": ("register_backbones", specs.BackboneSpec),
    "objective": ("register_objectives", specs.ObjectiveSpec),
    "callback": ("register_callbacks", specs.CallbackSpec),
    "evaluator": ("register_evaluators", specs.EvaluatorSpec),
    "source": ("register_sources", specs.SourceSpec),
}
"""Group -> (hook, spec class)."""

Components: TypeAlias = dict[str, tuple[Group, specs.ComponentSpec]]
"""Component name -> (group, spec)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of loading a plugin; `components` is empty unless the status is "ok"."""

    record: PluginRecord
    components: Components


class _Incompatible(Exception):
    """The plugin was written for another version of the framework."""


def load(plugin: InstalledPlugin) -> Loaded:
    """Import a plugin and collect what it registers.

    A half-done registration leaves nothing behind: specs gather in a dictionary of this call, and
    are handed out only when every hook returned. A real `KeyboardInterrupt` passes.
    """
    components: Components = {}
    notes: list[str] = []
    record = plugin.record
    try:
        with guarded(f"the plugin '{record.name}' of {record.source}", notes):
            _require_framework(plugin)
            weight = Weight()
            module = _module(plugin)
            notes += weight.notes()
            _register(record.name, module, components)
    except _Incompatible as error:
        return Loaded(replace(record, status="incompatible", cause=str(error)), {})
    except RaisedByPlugin as error:
        return Loaded(broken(plugin, error.error), {})
    except Exception as error:
        return Loaded(broken(plugin, error), {})
    names = tuple(sorted(components))
    return Loaded(replace(record, status="ok", components=names, note="; ".join(notes)), components)


def _module(plugin: InstalledPlugin) -> Any:
    if plugin.entry_point is not None:
        return plugin.entry_point.load()
    from loretta_framework import builtin

    return builtin


def _require_framework(plugin: InstalledPlugin) -> None:
    """Check the plugin's own dependency range again: `--no-deps` and editable installs skip it."""
    if not plugin.requires:
        return
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for text in plugin.requires:
        need = Requirement(text)
        if canonicalize_name(need.name) != CORE or (need.marker and not need.marker.evaluate()):
            continue
        if not need.specifier.contains(core_version(), prereleases=True):
            raise _Incompatible(f"it needs {text}, but {CORE} {core_version()} is installed")


def _register(name: str, module: Any, components: Components) -> None:
    # One manager per plugin: pluggy calls every implementation of a hook in one go and stops at
    # the first that raises, so a shared one would let a broken plugin silence the others.
    manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
    manager.add_hookspecs(hooks)
    manager.register(module, name)
    if not manager.get_hookcallers(module):
        text = "it implements no hook; decorate its functions with `loretta_framework.api.hookimpl`"
        raise Misuse(text, getattr(module, "__file__", None) or "")
    _require_known_hooks(manager)
    for group, (hook, _) in GROUPS.items():
        getattr(manager.hook, hook)(register=partial(_accept, name, group, components))


def _require_known_hooks(manager: pluggy.PluginManager) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        for caller in vars(manager.hook).values():
            if isinstance(caller, pluggy.HookCaller) and not caller.has_spec():
                known = [hook for hook, _ in GROUPS.values()]
                text = f"there is no hook '{caller.name}'{nearest(caller.name, known)}"
                code = getattr(caller.get_hookimpls()[0].function, "__code__", None)
                place = (code.co_filename, code.co_firstlineno) if code else ("", 0)
                raise Misuse(text, *place) from error
        raise


def _accept(plugin: str, group: Group, components: Components, spec: Any) -> None:
    """The `register` callback of one hook of one plugin."""
    hook, expected = GROUPS[group]
    if not isinstance(spec, expected):
        raise Misuse(
            f"{hook} must be given {expected.__name__}, but is given {type(spec).__name__}"
        )
    if fault := _fault(plugin, spec):
        raise Misuse(f"{group} {spec.name!r}: {fault}")
    low, high = spec.api
    if high < API_MIN or low > API_VERSION:
        older = "the plugin" if high < API_MIN else CORE
        raise _Incompatible(
            f"'{spec.name}' was written for plugin API {low}..{high}, but this framework speaks "
            f"{API_MIN}..{API_VERSION}; upgrade {older}"
        )
    if spec.name in components:
        raise Misuse(f"it registers '{spec.name}' twice")
    components[spec.name] = (group, spec)


def _fault(plugin: str, spec: specs.ComponentSpec) -> str:
    """What is wrong with a spec, "" when nothing is."""
    prefix = f"{plugin}."
    if not isinstance(spec.name, str) or not spec.name or not spec.name.isprintable():
        return "the name must be a non-empty string of printable characters"
    if plugin != BUILTIN and (not spec.name.startswith(prefix) or spec.name == prefix):
        return f"the name must start with '{prefix}', the plugin's entry-point name"
    if not isinstance(spec.version, int) or spec.version < 1:
        return f"the version must be an integer from 1, but is {spec.version!r}"
    if not spec.summary:
        return "the summary must not be empty"
    if (
        len(spec.api) != 2
        or not all(isinstance(n, int) for n in spec.api)
        or spec.api[0] > spec.api[1]
    ):
        return f"the API range must be (oldest, newest), but is {spec.api!r}"
    references = [spec.settings, spec.factory, *(kernel.probe for kernel in spec.kernels)]
    for reference in [*references, spec.trial] if spec.trial else references:
        try:
            specs.LazyReference.parse(reference)
        except ValueError as error:
            return str(error)
    return ""
