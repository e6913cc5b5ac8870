"""Video for loretta-framework: frames through an image tokenizer, and a 3-D VQ-VAE. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalitySpec, hookimpl


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """None yet."""
