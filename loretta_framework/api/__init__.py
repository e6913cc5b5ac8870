"""All that a plugin may import. Importing it brings neither torch nor pydantic."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loretta_framework.api.errors import (
        InputError as InputError,
    )
    from loretta_framework.api.errors import (
        LorettaError as LorettaError,
    )
    from loretta_framework.api.errors import (
        MissingDependencyError as MissingDependencyError,
    )
    from loretta_framework.api.errors import (
        PluginError as PluginError,
    )
    from loretta_framework.api.errors import (
        UserError as UserError,
    )
    from loretta_framework.api.hooks import hookimpl as hookimpl
    from loretta_framework.api.layout import PADDING as PADDING
    from loretta_framework.api.layout import SequenceLayout as SequenceLayout
    from loretta_framework.api.masks import document_mask as document_mask
    from loretta_framework.api.norms import RMSNorm as RMSNorm
    from loretta_framework.api.protocols import Artifact as Artifact
    from loretta_framework.api.random import generator as generator
    from loretta_framework.api.settings import (
        ModalitySettings as ModalitySettings,
    )
    from loretta_framework.api.settings import (
        ObjectiveSettings as ObjectiveSettings,
    )
    from loretta_framework.api.settings import (
        Settings as Settings,
    )
    from loretta_framework.api.settings import (
        TaskSchedule as TaskSchedule,
    )
    from loretta_framework.api.specs import (
        BackboneCapabilities as BackboneCapabilities,
    )
    from loretta_framework.api.specs import (
        BackboneSpec as BackboneSpec,
    )
    from loretta_framework.api.specs import (
        Bounds as Bounds,
    )
    from loretta_framework.api.specs import (
        CallbackSpec as CallbackSpec,
    )
    from loretta_framework.api.specs import (
        EvaluatorSpec as EvaluatorSpec,
    )
    from loretta_framework.api.specs import (
        ModalityCapabilities as ModalityCapabilities,
    )
    from loretta_framework.api.specs import (
        ModalitySpec as ModalitySpec,
    )
    from loretta_framework.api.specs import (
        ObjectiveCapabilities as ObjectiveCapabilities,
    )
    from loretta_framework.api.specs import (
        ObjectiveSpec as ObjectiveSpec,
    )
    from loretta_framework.api.specs import (
        SourceSpec as SourceSpec,
    )
    from loretta_framework.api.version import API_VERSION as API_VERSION

_ROOMS: dict[str, str] = {
    "API_VERSION": "version",
    "Artifact": "protocols",
    "BackboneCapabilities": "specs",
    "BackboneSpec": "specs",
    "Bounds": "specs",
    "CallbackSpec": "specs",
    "EvaluatorSpec": "specs",
    "InputError": "errors",
    "LorettaError": "errors",
    "MissingDependencyError": "errors",
    "ModalityCapabilities": "specs",
    "ModalitySettings": "settings",
    "ModalitySpec": "specs",
    "ObjectiveCapabilities": "specs",
    "ObjectiveSettings": "settings",
    "ObjectiveSpec": "specs",
    "PADDING": "layout",
    "PluginError": "errors",
    "RMSNorm": "norms",
    "SequenceLayout": "layout",
    "Settings": "settings",
    "SourceSpec": "specs",
    "TaskSchedule": "settings",
    "UserError": "errors",
    "document_mask": "masks",
    "generator": "random",
    "hookimpl": "hooks",
}

__all__ = sorted(_ROOMS)


def __getattr__(name: str) -> Any:
    """Import the public name from its room on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
