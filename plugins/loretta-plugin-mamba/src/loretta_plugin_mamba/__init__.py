"""State space backbones (Mamba-2) for loretta-framework, in plain torch. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import BackboneCapabilities, BackboneSpec, Kernel, hookimpl


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Mamba-2."""
    room = "loretta_plugin_mamba"
    install = "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'"
    register(
        BackboneSpec(
            name="mamba.mamba2",
            version=1,
            summary="Mamba-2: a state space model whose memory has one size at any length.",
            settings=f"{room}.settings:Mamba2Settings",
            factory=f"{room}.mamba2:build_mamba2",
            trial=f"{room}.settings:TRIAL",
            capabilities=BackboneCapabilities(
                cache="constant",
                float32_parameters=(
                    "blocks.*.mixer.A_log",
                    "blocks.*.mixer.dt_bias",
                    "blocks.*.mixer.D",
                ),
            ),
            kernels=(
                Kernel(
                    package="mamba-ssm",
                    probe=f"{room}.kernels:probe_mamba_ssm",
                    install=install,
                    without="The scan runs as matrix products in plain torch.",
                ),
                Kernel(
                    package="causal-conv1d",
                    probe=f"{room}.kernels:probe_causal_conv1d",
                    install=install,
                    without="The short convolution runs in plain torch.",
                ),
            ),
        )
    )
