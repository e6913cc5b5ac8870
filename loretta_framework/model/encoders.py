"""The networks of continuous modalities: features in, vectors out.

N values, T vectors of a value, C width of the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api import random
from loretta_framework.api.errors import PluginError
from loretta_framework.api.protocols import EncoderNetwork
from loretta_framework.recipe.plan import ModalityPlan, Plan
from loretta_framework.registry import Builder


class ByModality(nn.Module):
    """Modules by modality. Other than `ModuleDict` it takes every name, `type` and `values` too."""

    def __init__(self, modules: Mapping[str, Any]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, modality: str) -> Any:
        return self._modules[modality]


class Vectors(nn.Module):
    """Stands for the network of features that are vectors already.

    Args:
        width: of each vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features_NTC: Tensor) -> Tensor:
        """They themselves."""
        return features_NTC


def build_encoders(plan: Plan, builder: Builder) -> dict[str, EncoderNetwork]:
    """A fresh network for each continuous modality; the same Plan and seed give the same weights.

    Draws from torch's own generator.

    Raises:
        PluginError: what `network` gives cannot be used.
    """
    found = {}
    for item in plan.modalities:
        if plan.vocabulary[item.name].continuous:
            torch.manual_seed(random.key(plan.seed, "model/init", item.name) % 2**63)
            found[item.name] = _network(item, builder)
    return found


def _network(item: ModalityPlan, builder: Builder) -> EncoderNetwork:
    kind = item.component.kind
    modality = builder.build_spec("modality", kind, item.component.settings)
    network = modality.network()
    if network is None:
        network = Vectors(getattr(modality, "width", 0))
    width = getattr(network, "width", None)
    if isinstance(network, nn.Module) and isinstance(width, int) and width > 0:
        return network  # type: ignore[return-value]  # a torch module is called as `forward` is
    raise PluginError(
        "`network` must give a torch module with the `width` of its vectors, or None where the "
        f"modality itself has that `width`, but gives {type(network).__name__} of width {width}",
        where=f"modalities.{item.name} ({kind})",
        fix="report it to the authors of its plugin, or use another version of it",
    )
