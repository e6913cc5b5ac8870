"""The hooks a plugin implements. Six, stable; each is handed a `register` callback.

A plugin module is light: it imports `loretta_framework.api` and registers frozen specs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from loretta_framework.api.specs import (
        BackboneSpec,
        CallbackSpec,
        EvaluatorSpec,
        ModalitySpec,
        ObjectiveSpec,
        SourceSpec,
    )

ENTRY_POINT_GROUP = "loretta"
"""Entry-point group in which distributions announce their plugin module."""

hookspec = pluggy.HookspecMarker("loretta")
hookimpl = pluggy.HookimplMarker("loretta")
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
