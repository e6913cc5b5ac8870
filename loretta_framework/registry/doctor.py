"""Tries each plugin in a child process, so that a crash or a hang is a row and not the end.

Run as a module it is that child: it loads one plugin, imports all that its specs refer to, and
writes the verdict to a file (not to its output, which belongs to the plugin).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loretta_framework.api.errors import MissingDependencyError, PluginError
from loretta_framework.api.specs import ComponentSpec, Kernel, ModalitySpec
from loretta_framework.registry import verdicts
from loretta_framework.registry.child import Ended, answer, run_child
from loretta_framework.registry.faults import broken, own_line, package_of
from loretta_framework.registry.guard import contained
from loretta_framework.registry.kernels import try_kernel
from loretta_framework.registry.loading import load
from loretta_framework.registry.promises import (
    imported,
    require_bounds_method,
    require_promises,
    settings_class,
)
from loretta_framework.registry.records import (
    BUILTIN,
    InstalledPlugin,
    PluginRecord,
    installed,
    require_known,
)


def examine(names: Collection[str], timeout_s: float) -> Iterator[PluginRecord]:
    """Records of the plugins named (all, when empty), each tried in a child process of its own.

    Every optional kernel of a plugin's components is tried in a further one.

    Args:
        names: entry-point names.
        timeout_s: seconds a plugin may take, and each kernel again.

    Raises:
        PluginError: there is no plugin of that name.
    """
    plugins = installed()
    require_known(names, plugins)
    for plugin in plugins:
        if names and plugin.record.name not in names:
            continue
        if plugin.record.status != "unchecked":
            yield plugin.record
            continue
        record = _examined(plugin, timeout_s)
        verdicts.remember(plugin, record)
        yield record


def _examined(plugin: InstalledPlugin, timeout_s: float) -> PluginRecord:
    name = plugin.record.name
    ended = run_child(__spec__.name, [name], timeout_s)
    if ended.how != "done":
        return _dead(plugin, ended, timeout_s)
    told = json.loads(ended.answer)
    record = plugin.record.verdict(told["record"])
    kernels = tuple(
        try_kernel(name, component, index, Kernel(**kernel), timeout_s)
        for component, listed in told["kernels"].items()
        for index, kernel in enumerate(listed)
    )
    return replace(record, kernels=kernels)


SURE_SECONDS = 20.0
"""A plugin that takes longer counts as blocked for good; with less it may only have been slow."""


def _dead(plugin: InstalledPlugin, ended: Ended, timeout_s: float) -> PluginRecord:
    file, line = own_line(ended.frames, package_of(plugin))
    sure = ended.how != "timeout" or timeout_s >= SURE_SECONDS
    # Without the built-in no command works: it is always tried again.
    deadly = sure and plugin.record.name != BUILTIN
    record = replace(plugin.record, status="broken", cause=ended.cause, deadly=deadly)
    return replace(record, file=file, line=line)


def _verdict(plugin: InstalledPlugin) -> Mapping[str, Any]:
    loaded = load(plugin)
    record, kernels = loaded.record, {}
    if record.status == "ok":
        specs = [loaded.components[name][1] for name in record.components]
        record = _imported(plugin, record, specs)
        kernels = {spec.name: [asdict(kernel) for kernel in spec.kernels] for spec in specs}
    return {"record": record.to_json(), "kernels": kernels}


def _imported(
    plugin: InstalledPlugin, record: PluginRecord, specs: list[ComponentSpec]
) -> PluginRecord:
    """Import every settings class, then every factory."""
    notes = [record.note] if record.note else []
    had_torch = "torch" in sys.modules
    for reference in ("settings", "factory"):
        for spec in specs:
            try:
                if reference == "settings":
                    _require_settings(spec, notes)
                else:
                    imported(spec, spec.factory, notes)
            except MissingDependencyError as error:
                notes.append(f"'{spec.name}' cannot be used: {error.what} -> {error.fix}")
            except Exception as error:
                failed = _failed(plugin, error)
                cause = f"{reference} of '{spec.name}': {failed.cause}"
                return replace(failed, cause=cause, inside=True)
        if reference == "settings" and not had_torch and "torch" in sys.modules:
            notes.append("its settings import torch; recipes could then not be checked without it")
    return replace(record, note="; ".join(notes))


def _require_settings(spec: ComponentSpec, notes: list[str]) -> None:
    """The settings class is one, and promises what the Plan needs as far as defaults can tell."""
    imported(spec, spec.settings, notes)
    found = settings_class(spec)
    if isinstance(spec, ModalitySpec):
        require_bounds_method(spec, found)
    try:
        with contained():
            settings = found()
    except ValidationError:
        return  # some must be given; they are checked with the recipe
    require_promises(spec, settings)


def _failed(plugin: InstalledPlugin, error: Exception) -> PluginRecord:
    if not isinstance(error, PluginError):
        return broken(plugin, error)
    file, _, line = error.where.rpartition(":")
    known = (file, int(line)) if line.isdecimal() else (error.where, 0)
    return replace(plugin.record, status="broken", cause=error.what, file=known[0], line=known[1])


def main(arguments: list[str]) -> Any:
    """The child's work: FILE NAME."""
    file, name = arguments
    plugin = next(item for item in installed() if item.record.name == name)
    answer(Path(file), json.dumps(_verdict(plugin)))


if __name__ == "__main__":
    main(sys.argv[1:])
