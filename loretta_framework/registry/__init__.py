"""Finds, isolates, checks and resolves plugins. Knows none by name, and needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loretta_framework.registry.build import Builder as Builder
    from loretta_framework.registry.discovery import Registry as Registry
    from loretta_framework.registry.loading import Group as Group
    from loretta_framework.registry.records import PluginRecord as PluginRecord

# Lazy, because `plugins list` needs the records alone and has 150 ms.
_ROOMS = {
    "Builder": "build",
    "Group": "loading",
    "PluginRecord": "records",
    "Registry": "discovery",
}

__all__ = sorted(_ROOMS)


def __getattr__(name: str) -> Any:
    """Import the public name from its module on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
