"""Tries each plugin in a child process, so that a crash or a hang is a row and not the end.

Run as a module it is that child: it loads one plugin, imports all that its specs refer to, and
writes the verdict to a file (not to its output, which belongs to the plugin).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import MissingDependencyError, PluginError, nearest
from loretta_framework.api.specs import ComponentSpec, LazyReference
from loretta_framework.registry import verdicts
from loretta_framework.registry.discovery import Registry
from loretta_framework.registry.loading import broken
from loretta_framework.registry.records import InstalledPlugin, PluginRecord, installed


def examine(names: Collection[str], timeout_s: float) -> Iterator[PluginRecord]:
    """Records of the plugins named (all, when empty), each tried in a child process of its own.

    Args:
        names: entry-point names.
        timeout_s: seconds a plugin may take.

    Raises:
        PluginError: there is no plugin of that name.
    """
    plugins = installed()
    known = sorted({plugin.record.name for plugin in plugins})
    for name in names:
        if name not in known:
            raise PluginError(
                f"no plugin '{name}' is installed{nearest(name, known)}",
                fix=f"installed: {', '.join(known)}",
            )
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
    with tempfile.TemporaryDirectory() as folder:
        verdict, output = Path(folder, "verdict.json"), Path(folder, "output.txt")
        command = [sys.executable, "-m", __spec__.name, plugin.record.name, str(verdict)]
        with output.open("wb") as file:
            # Not a pipe: a grandchild that holds it open would keep us waiting after the kill.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            cause = _awaited(child, timeout_s)
        if verdict.exists():
            data = json.loads(verdict.read_text(encoding="utf-8"))
            return replace(plugin.record, **{**data, "components": tuple(data["components"])})
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f"; its last line: {lines[-1]}" if lines else ""
    return replace(plugin.record, status="broken", cause=f"{cause}{last}")


def _awaited(child: subprocess.Popen[bytes], timeout_s: float) -> str:
    """How a child that left no verdict ended."""
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return f"it did not finish within {timeout_s:g} s"
    finally:
        _end(child)
    if code < 0:
        return f"it crashed the interpreter with {signal.Signals(-code).name}"
    return f"it ended the interpreter with exit code {code}"


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole session: what a plugin forked must not outlive the check."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        child.wait()


def _child(name: str, verdict: Path) -> None:
    registry = Registry.discover({name})
    plugin = next(item for item in installed() if item.record.name == name)
    record = next(item for item in registry.records if item.source == plugin.record.source)
    if record.status == "ok":
        record = _imported(plugin, record, [registry.component(part) for part in record.components])
    beside = verdict.with_suffix(".part")
    beside.write_text(json.dumps(record.to_json()), encoding="utf-8")
    os.replace(beside, verdict)


def _imported(
    plugin: InstalledPlugin, record: PluginRecord, specs: list[ComponentSpec]
) -> PluginRecord:
    """Import every settings class, then every factory."""
    notes = [record.note] if record.note else []
    had_torch = "torch" in sys.modules
    for reference in ("settings", "factory"):
        for spec in specs:
            try:
                LazyReference.parse(getattr(spec, reference)).resolve()
            except MissingDependencyError as error:
                notes.append(f"'{spec.name}' cannot be used: {error.what} -> {error.fix}")
            except (Exception, SystemExit) as error:
                failed = broken(plugin, error)
                return replace(failed, cause=f"{reference} of '{spec.name}': {failed.cause}")
        if reference == "settings" and not had_torch and "torch" in sys.modules:
            notes.append("its settings import torch; recipes could then not be checked without it")
    return replace(record, note="; ".join(notes))


def main(arguments: list[str]) -> Any:
    """The child's work: NAME FILE."""
    _child(arguments[0], Path(arguments[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the verdict is written; threads that the plugin started must not hold the exit


if __name__ == "__main__":
    main(sys.argv[1:])
