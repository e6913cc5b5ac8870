"""Images for loretta-framework: as ids (`image.pixels`, `image.patch_codes`, `image.vq`) and as
vectors (`image.timm`). Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl

EXTENSIONS = ("png", "jpg", "jpeg", "webp")


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Three tokenizers and an encoder."""
    register(
        ModalitySpec(
            name="image.pixels",
            version=1,
            summary="Images as one token per pixel and channel.",
            settings="loretta_plugin_image.settings:PixelsSettings",
            factory="loretta_plugin_image.pixels:Pixels",
            trial="loretta_plugin_image.trials:PIXELS",
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
            trial="loretta_plugin_image.trials:PATCH_CODES",
            capabilities=ModalityCapabilities(fitted=True, extensions=EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="image.vq",
            version=1,
            summary="Images as one token per patch, from a codec trained on them.",
            settings="loretta_plugin_image.vq.settings:VqSettings",
            factory="loretta_plugin_image.vq.codec:Vq",
            trial="loretta_plugin_image.trials:VQ",
            capabilities=ModalityCapabilities(fitted=True, extensions=EXTENSIONS),
        )
    )
    register(
        ModalitySpec(
            name="image.timm",
            version=1,
            summary="Images as vectors from a network of the timm library; an input only.",
            settings="loretta_plugin_image.encoder.settings:TimmSettings",
            factory="loretta_plugin_image.encoder.modality:TimmImages",
            trial="loretta_plugin_image.trials:TIMM",
            capabilities=ModalityCapabilities(form="continuous", extensions=EXTENSIONS),
        )
    )
