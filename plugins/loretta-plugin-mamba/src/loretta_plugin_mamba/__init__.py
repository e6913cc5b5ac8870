"""State space backbones (Mamba-2) for loretta-framework, in plain torch. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import BackboneSpec, hookimpl


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """None yet."""
