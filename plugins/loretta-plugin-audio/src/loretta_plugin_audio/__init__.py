"""Sound for loretta-framework: registers `audio.mel_codes`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Sound as codes of its mel spectrogram."""
    register(
        ModalitySpec(
            name="audio.mel_codes",
            version=1,
            summary="Sound as k-means codes of its log-mel spectrogram; Griffin-Lim on the way out.",
            settings="loretta_plugin_audio.settings:MelCodesSettings",
            factory="loretta_plugin_audio.mel_codes:MelCodes",
            capabilities=ModalityCapabilities(fitted=True, extensions=("wav", "flac", "ogg")),
        )
    )
