"""The Hyena backbone for loretta-framework, in plain torch. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import BackboneCapabilities, BackboneSpec, Kernel, hookimpl


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Hyena."""
    room = "loretta_plugin_hyena"
    source = "git+https://github.com/HazyResearch/flash-fft-conv.git"
    register(
        BackboneSpec(
            name="hyena.hyena",
            version=1,
            summary="Hyena: gated long convolutions whose filters are functions of the distance.",
            settings=f"{room}.settings:HyenaSettings",
            factory=f"{room}.hyena:build_hyena",
            trial=f"{room}.settings:TRIAL",
            capabilities=BackboneCapabilities(
                cache="growing",
                float32_parameters=("blocks.*.mixer.filters.*",),
                exact=False,
            ),
            kernels=(
                Kernel(
                    package="flashfftconv",
                    probe=f"{room}.kernels:probe_flash_fft_conv",
                    install="pip install --no-build-isolation einops "
                    f"'{source}#subdirectory=csrc/flashfftconv' '{source}'",
                    without="The long convolutions run as FFTs or matrix products in plain torch.",
                ),
            ),
        )
    )
