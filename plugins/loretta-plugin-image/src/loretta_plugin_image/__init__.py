"""Images for loretta-framework: `image.pixels`, `image.patch_codes`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl

EXTENSIONS = ("png", "jpg", "jpeg", "webp")


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Images as grey levels, and as codes of patches."""
    register(
        ModalitySpec(
            name="image.pixels",
            version=1,
            summary="Images as one token per pixel and channel.",
            settings="loretta_plugin_image.settings:PixelsSettings",
            factory="loretta_plugin_image.pixels:Pixels",
            capabilities=ModalityCapabilities(extensions=EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="image.patch_codes",
            version=1,
            summary="Images as one token per patch, from a k-means codebook.",
            settings="loretta_plugin_image.settings:PatchCodesSettings",
            factory="loretta_plugin_image.patch_codes:PatchCodes",
            capabilities=ModalityCapabilities(fitted=True, extensions=EXTENSIONS),
        )
    )
