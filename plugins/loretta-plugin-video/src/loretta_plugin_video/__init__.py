"""Video for loretta-framework: frames through an image tokenizer, and a 3-D VQ-VAE. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl

_EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "gif")


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Called when a recipe names `video.<something>`."""
    register(
        ModalitySpec(
            name="video.frames",
            version=1,
            summary="A fixed number of frames, each of them through an image tokenizer.",
            settings="loretta_plugin_video.settings:FramesSettings",
            factory="loretta_plugin_video.frames:build",
            trial="loretta_plugin_video.trials:FRAMES",
            # The image tokenizer may need a fit; one that does not is left as it is.
            capabilities=ModalityCapabilities(fitted=True, extensions=_EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="video.vq",
            version=1,
            summary="A learned code for each block of space and time (3-D convolutions, FSQ).",
            settings="loretta_plugin_video.settings:VqSettings",
            factory="loretta_plugin_video.vq:Vq",
            trial="loretta_plugin_video.trials:VQ",
            capabilities=ModalityCapabilities(fitted=True, extensions=_EXTENSIONS),
        )
    )
