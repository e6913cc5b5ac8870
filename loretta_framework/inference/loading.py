"""A run directory becomes a loaded model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from loretta_framework.api.errors import CheckpointError, InputError
from loretta_framework.api.protocols import Tokenizer
from loretta_framework.checkpoint.handshake import (
    loaded_components,
    plugins_of,
    require_named,
    require_own_components,
    require_present,
    require_versions,
)
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.weights import LoadedWeights, load_weights
from loretta_framework.data.fitting import (
    load_tokenizers,
    require_tokenizers,
    tokenizer_digests,
)
from loretta_framework.inference.loaded import LoadedModel
from loretta_framework.model.build import build_model
from loretta_framework.recipe.load import LoadedRecipe, load_recipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.recipe.plan import Plan
from loretta_framework.registry import Builder, Registry


def load(
    run_dir: str | Path,
    device: str | torch.device = "cpu",
    *,
    warn: Callable[[str], None] = warnings.warn,
) -> LoadedModel:
    """Load a run's newest complete checkpoint with its tokenizers.

    Args:
        run_dir: a directory that `loretta train` made.
        device: where the model computes.
        warn: handed a sentence for each damaged checkpoint that is passed over, and for each plugin
            of another version.

    Raises:
        InputError: there is no such device here.
        RunDirectoryError: it is no run, or has no checkpoint yet.
        CheckpointError: what is there is damaged.
        PluginError: a plugin that the run needs cannot be used, or a component has another version
            than the run was made with.
    """
    _require_device(device)
    run = RunDirectory.open(Path(run_dir))
    plan, loaded = run.read_plan(), load_recipe(run.recipe_file)
    registry = _registry(plan, loaded, run, warn)
    weights = load_weights(run.path, warn)
    saved_parts = weights.state.get("components")
    require_own_components(saved_parts, loaded_components(plan), str(weights.source))
    tokenizers, extensions = _tokenizers(plan, registry)
    load_tokenizers(plan, tokenizers, run.tokenizers)
    saved = weights.state.get("tokenizers", {})
    require_tokenizers(saved, tokenizer_digests(plan, run.tokenizers), run.tokenizers)
    _require_table(weights, plan)
    model = build_model(plan, loaded.recipe, registry)
    try:
        model.load_state_dict(weights.tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights do not fit the run's plan: {error}",
            where=str(weights.source),
            fix="restore the run's plan.json and recipe.yaml from a copy",
        ) from error
    return LoadedModel(plan, model.to(device).eval(), tokenizers, extensions)


def _require_table(weights: LoadedWeights, plan: Plan) -> None:
    """A damaged plan may ask for a table that no memory holds: compared before it is made."""
    table = weights.tensors.get("embedding.weight")
    rows = len(table) if table is not None and table.ndim else 0
    if rows != plan.vocabulary.size:
        raise CheckpointError(
            f"the weights do not fit the run's plan: the vocabulary must have {rows} ids, but has "
            f"{plan.vocabulary.size}",
            where=str(weights.source),
            fix="restore the run's plan.json and recipe.yaml from a copy",
        )


def _registry(
    plan: Plan, loaded: LoadedRecipe, run: RunDirectory, warn: Callable[[str], None]
) -> Registry:
    """Where the run's components come from; they are those that it was made with."""
    require_named(plan, loaded.resolved, str(run.path))
    components = loaded_components(plan)
    named = needed_plugins(loaded.resolved)
    registry = Registry.discover(plugins_of(components) & named, named)
    require_present(components, registry, str(run.path))
    for sentence in require_versions(components, registry, str(run.path)):
        warn(sentence)
    return registry


def _tokenizers(
    plan: Plan, registry: Registry
) -> tuple[dict[str, Tokenizer], dict[str, tuple[str, ...]]]:
    """Tokenizers, built but not fitted, and the extensions each reads."""
    builder = Builder(registry)
    tokenizers, extensions = {}, {}
    for node in plan.modalities:
        kind = node.component.kind
        tokenizers[node.name] = builder.build_spec("modality", kind, node.component.settings)
        extensions[node.name] = registry.spec("modality", kind).capabilities.extensions  # type: ignore[attr-defined]
    return tokenizers, extensions


def _require_device(device: str | torch.device) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the device '{device}' cannot be used: {reason}",
            fix="use cpu, or cuda on a GPU machine",
        ) from error
