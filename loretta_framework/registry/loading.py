"""Loads one plugin alone, so that its failure is a record and never the end of the others."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pluggy

from loretta_framework.api import hooks, specs
from loretta_framework.api.errors import nearest
from loretta_framework.api.version import API_MIN, API_VERSION
from loretta_framework.registry.records import (
    BUILTIN,
    CORE,
    InstalledPlugin,
    PluginRecord,
    core_version,
)

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


class _Misuse(Exception):
    """The plugin broke a rule of registration, at a place the traceback may not show."""

    def __init__(self, text: str, file: str = "", line: int = 0) -> None:
        self.text, self.file, self.line = text, file, line
        super().__init__(text)


def load(plugin: InstalledPlugin) -> Loaded:
    """Import a plugin and collect what it registers.

    A half-done registration leaves nothing behind: specs gather in a dictionary of this call, and
    are handed out only when every hook returned. `KeyboardInterrupt` passes.
    """
    had_torch = "torch" in sys.modules
    components: Components = {}
    try:
        # A plugin that prints while it is imported must not spoil `--json` output.
        with contextlib.redirect_stdout(sys.stderr):
            _require_framework(plugin)
            _register(plugin.record.name, _module(plugin), components)
    except _Incompatible as error:
        return Loaded(replace(plugin.record, status="incompatible", cause=str(error)), {})
    except (Exception, SystemExit) as error:  # SystemExit: a plugin may call sys.exit on import
        return Loaded(broken(plugin, error), {})
    note = ""
    if not had_torch and "torch" in sys.modules:
        note = (
            "it imports torch when it is discovered; import torch in the factory's module instead"
        )
    record = replace(plugin.record, status="ok", components=tuple(sorted(components)), note=note)
    return Loaded(record, components)


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
    manager = pluggy.PluginManager(hooks.ENTRY_POINT_GROUP)
    manager.add_hookspecs(hooks)
    manager.register(module, name)
    if not manager.get_hookcallers(module):
        text = "it implements no hook; decorate its functions with `loretta_framework.api.hookimpl`"
        raise _Misuse(text, getattr(module, "__file__", None) or "")
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
                raise _Misuse(text, *place) from error
        raise


def _accept(plugin: str, group: Group, components: Components, spec: Any) -> None:
    """The `register` callback of one hook of one plugin."""
    hook, expected = GROUPS[group]
    if not isinstance(spec, expected):
        raise _Misuse(
            f"{hook} must be given {expected.__name__}, but is given {type(spec).__name__}"
        )
    if fault := _fault(plugin, spec):
        raise _Misuse(f"{group} {spec.name!r}: {fault}")
    low, high = spec.api
    if high < API_MIN or low > API_VERSION:
        older = "the plugin" if high < API_MIN else CORE
        raise _Incompatible(
            f"'{spec.name}' was written for plugin API {low}..{high}, but this framework speaks "
            f"{API_MIN}..{API_VERSION}; upgrade {older}"
        )
    if spec.name in components:
        raise _Misuse(f"it registers '{spec.name}' twice")
    components[spec.name] = (group, spec)


def _fault(plugin: str, spec: specs.ComponentSpec) -> str:
    """What is wrong with a spec, "" when nothing is."""
    prefix = f"{plugin}."
    if not isinstance(spec.name, str) or not spec.name:
        return "the name must be a non-empty string"
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
    for reference in (spec.settings, spec.factory):
        try:
            specs.LazyReference.parse(reference)
        except ValueError as error:
            return str(error)
    return ""


def broken(plugin: InstalledPlugin, error: BaseException) -> PluginRecord:
    """The record of a plugin that failed with this error: cause, file and line."""
    if isinstance(error, _Misuse):
        cause = error.text
        file, line = error.file, error.line
    else:
        text = str(error).strip().splitlines()
        cause = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        file, line = "", 0
    if not file:
        file, line = _place(plugin, error)
    return replace(plugin.record, status="broken", cause=cause, file=file, line=line)


def _place(plugin: InstalledPlugin, error: BaseException) -> tuple[str, int]:
    """The last line of the plugin's own code before the failure, else the last line at all."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    package = plugin.entry_point.module.partition(".")[0] if plugin.entry_point else BUILTIN
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_MACHINERY)
    ]
    own = [frame for frame in frames if package in Path(frame.filename).with_suffix("").parts]
    for frame in (own or frames)[-1:]:
        return frame.filename, frame.lineno or 0
    return "", 0


_MACHINERY = (
    "<frozen",
    str(Path(__file__).parent),
    str(Path(importlib.__file__).parent),
    str(Path(pluggy.__file__).parent),
    str(Path(specs.__file__)),
)
"""Where the frames of loading itself lie."""
