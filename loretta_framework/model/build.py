"""Build the model a Plan asks for."""

from __future__ import annotations

from collections.abc import Callable

import torch

from loretta_framework.api import random
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.model.encoders import build_encoders
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.schema import Recipe
from loretta_framework.registry import Builder, Registry


def build_model(
    plan: Plan,
    recipe: Recipe,
    registry: Registry,
    note: Callable[[str, str, str], None] | None = None,
) -> AnyToAny:
    """The model with fresh weights; the same Plan and seed give the same weights.

    The state of torch's generator is put back, so that building has no effect on other draws.

    Args:
        plan: what to build.
        recipe: its `model` section.
        registry: where the backbone and the networks of continuous modalities come from.
        note: told of automatic choices (key, choice, reason).

    Raises:
        PluginError: the backbone, or the network of a continuous modality, cannot be used.
    """
    builder = Builder(registry, note)
    with torch.random.fork_rng(devices=[]):
        encoders = build_encoders(plan, builder)
        torch.manual_seed(random.key(plan.seed, "model/init") % 2**63)
        backbone = builder.build_spec("backbone", plan.backbone.kind, plan.backbone.settings)
        return AnyToAny(
            plan.vocabulary,
            backbone,
            segment_positions=recipe.model.segment_positions,
            tie_embeddings=recipe.model.tie_embeddings,
            dropout=recipe.model.dropout,
            encoders=encoders,
        )
