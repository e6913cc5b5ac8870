"""The last verdict on each plugin, kept on disk so that `plugins list` need not import any.

The file is a convenience: when it cannot be read or written, plugins count as unchecked.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from loretta_framework.registry.records import VERDICT, InstalledPlugin, PluginRecord


def cache_file() -> Path:
    """Where verdicts are kept: `$LORETTA_CACHE`, else `loretta` in the user's cache directory."""
    folder = os.environ.get("LORETTA_CACHE")
    if folder:
        return Path(folder) / "plugins.json"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "loretta" / "plugins.json"


def recall(plugins: Iterable[InstalledPlugin]) -> tuple[PluginRecord, ...]:
    """Records with the last verdict filled in where the installation is the one that was checked."""
    verdicts = _read()
    return tuple(_recalled(plugin, verdicts) for plugin in plugins)


def _recalled(plugin: InstalledPlugin, verdicts: dict[str, Any]) -> PluginRecord:
    kept = verdicts.get(_key(plugin))
    if plugin.record.status != "unchecked" or not isinstance(kept, dict):
        return plugin.record
    try:
        return plugin.record.verdict(kept)
    except (KeyError, TypeError):
        return plugin.record


def remember(plugin: InstalledPlugin, record: PluginRecord) -> None:
    """Keep a verdict. A cache that cannot be written is left as it is."""
    verdicts = _read()
    data = record.to_json()
    verdicts[_key(plugin)] = {name: data[name] for name in VERDICT}
    with suppress(OSError):
        _write(verdicts)


def remember_change(plugin: InstalledPlugin, record: PluginRecord) -> None:
    """Keep the verdict of ordinary use: what is broken, and what was and no longer is."""
    (known,) = recall([plugin])
    if record.status == "ok" and known.inside:
        return  # importing it does not see what the doctor saw
    record = replace(record, kernels=known.kernels)
    if record.status != "ok" or known.status not in ("ok", "unchecked"):
        remember(plugin, record)


def _key(plugin: InstalledPlugin) -> str:
    return f"{plugin.record.source}/{plugin.record.name}/{plugin.stamp}"


def _read() -> dict[str, Any]:
    try:
        data = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home directory
        return {}
    return data if isinstance(data, dict) else {}


def _write(verdicts: dict[str, Any]) -> None:
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(verdicts, file, indent=1, sort_keys=True)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
