"""State space backbones (Mamba-1 and -2) for loretta-framework, in plain torch. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import BackboneCapabilities, BackboneSpec, Kernel, hookimpl

_ROOM = "loretta_plugin_mamba"
_INSTALL = "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'"
_CONVOLUTION = Kernel(
    package="causal-conv1d",
    probe=f"{_ROOM}.probes:probe_causal_conv1d",
    install=_INSTALL,
    without="The short convolution runs in plain torch.",
)
# A hybrid's cache grows, by its attention layers alone; a spec can only say what holds without them.
_CAPABILITIES = BackboneCapabilities(
    cache="constant",
    float32_parameters=("blocks.*.mixer.A_log", "blocks.*.mixer.dt_bias", "blocks.*.mixer.D"),
)


def _scan_kernel(probe: str, without: str) -> Kernel:
    return Kernel(
        package="mamba-ssm", probe=f"{_ROOM}.probes:{probe}", install=_INSTALL, without=without
    )


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Mamba-1 and Mamba-2."""
    register(
        BackboneSpec(
            name="mamba.mamba1",
            version=1,
            summary="Mamba-1: a state space model with rates of decay for each channel.",
            settings=f"{_ROOM}.settings:Mamba1Settings",
            factory=f"{_ROOM}.mamba1:build_mamba1",
            trial=f"{_ROOM}.settings:TRIAL_1",
            capabilities=_CAPABILITIES,
            kernels=(
                _scan_kernel(
                    "probe_selective_scan",
                    "The scan runs token by token in plain torch, all pieces at once.",
                ),
                _CONVOLUTION,
            ),
        )
    )
    register(
        BackboneSpec(
            name="mamba.mamba2",
            version=1,
            summary="Mamba-2: a state space model whose memory has one size at any length.",
            settings=f"{_ROOM}.settings:Mamba2Settings",
            factory=f"{_ROOM}.mamba2:build_mamba2",
            trial=f"{_ROOM}.settings:TRIAL",
            capabilities=_CAPABILITIES,
            kernels=(
                _scan_kernel("probe_mamba_ssm", "The scan runs as matrix products in plain torch."),
                _CONVOLUTION,
            ),
        )
    )
