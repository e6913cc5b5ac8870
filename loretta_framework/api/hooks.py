"""The hooks a plugin implements. Six, stable; each is handed a `register` callback.

A plugin module is light: it imports `loretta_framework.api` and registers frozen specs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

from loretta_framework.api.version import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from loretta_framework.api.specs import (
        BackboneSpec,
        CallbackSpec,
        EvaluatorSpec,
        ModalitySpec,
        ObjectiveSpec,
        SourceSpec,
    )

hookspec = pluggy.HookspecMarker(ENTRY_POINT_GROUP)
hookimpl = pluggy.HookimplMarker(ENTRY_POINT_GROUP)
"""Decorator for a plugin's hook implementations."""


@hookspec
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Call `register(spec)` once per modality."""


@hookspec
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Call `register(spec)` once per backbone."""


@hookspec
def register_objectives(register: Callable[[ObjectiveSpec], None]) -> None:
    """Call `register(spec)` once per objective."""


@hookspec
def register_callbacks(register: Callable[[CallbackSpec], None]) -> None:
    """Call `register(spec)` once per callback."""


@hookspec
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """Call `register(spec)` once per evaluator."""


@hookspec
def register_sources(register: Callable[[SourceSpec], None]) -> None:
    """Call `register(spec)` once per source."""
