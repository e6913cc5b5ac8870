"""Put the parts of a run together: model, objectives, optimiser, loader, callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from loretta_framework.api.errors import CheckpointError, RecipeError
from loretta_framework.api.protocols import Callback
from loretta_framework.api.specs import BackboneSpec
from loretta_framework.checkpoint.handshake import (
    loaded_components,
    other_distributions,
    require_same_meaning,
)
from loretta_framework.checkpoint.lock import RunLock
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.weights import LoadedWeights, load_weights
from loretta_framework.data.fitting import tokenizer_digests
from loretta_framework.data.loader import Loader
from loretta_framework.data.values import read_values
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.model.build import build_model
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.schema import Node, Recipe
from loretta_framework.recipe.stored import vocabulary_of
from loretta_framework.registry import Builder
from loretta_framework.sequence.rows import TokenizedSample
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.train.average import MovingAverage
from loretta_framework.train.compiling import choose_compile, compile_blocks
from loretta_framework.train.distributed import World
from loretta_framework.train.initialise import initialise
from loretta_framework.train.loop import RunView, Trainer
from loretta_framework.train.numerics import Numerics, choose_numerics
from loretta_framework.train.optim import build_optimizer, freeze
from loretta_framework.train.parts import Parts
from loretta_framework.train.quality import EdgeQuality
from loretta_framework.train.state import save_state
from loretta_framework.train.step import Stepper
from loretta_framework.train.tasks import Rollouts, Task, build_tasks


def assemble(parts: Parts, run: RunDirectory, lock: RunLock) -> Trainer:
    """A trainer at step 0. The modalities of `parts` must be ready to encode."""
    loaded, plan, builder = parts.loaded, parts.plan, parts.builder
    recipe, world = loaded.recipe, World.current()
    model = build_model(plan, recipe, builder.registry, builder.note)
    digests = tokenizer_digests(plan, run.tokenizers)
    if recipe.init_from is not None and not run.checkpoints.is_dir():
        _start_from(loaded.directory / recipe.init_from, model, plan, builder, digests)
    freeze(model, recipe.freeze)
    numerics = choose_numerics(recipe, model.backbone.width, builder.note)
    torch.set_num_threads(numerics.threads)
    model.to(numerics.device)
    numerics = _compiled(recipe, plan, model, numerics, builder)
    rollouts, quality = Rollouts(model, plan.seed, numerics), EdgeQuality()
    tasks = build_tasks(plan, builder, rollouts, quality)
    rollouts.average = _moving_average(tasks, model)
    optimizer = build_optimizer(model, recipe.optimizer)
    return Trainer(
        plan=plan,
        recipe=recipe,
        model=model,
        optimizer=optimizer,
        tasks=tasks,
        stepper=_stepper(recipe, plan, model, optimizer, tasks, numerics, world),
        loader=Loader(
            plan,
            parts.modalities,
            run.path,
            numerics.workers,
            world.rank,
            world.size,
            recipe.data.max_bad_fraction,
            parts.sources,
            loaded.directory / recipe.data.tokens if recipe.data.tokens else None,
            numerics.start_method,
        ),
        rollouts=rollouts,
        quality=quality,
        average=rollouts.average,
        metrics=None,
        callbacks=_callbacks(recipe.callbacks, builder),
        view=RunView(run.path, plan, plan.steps),
        tokenizers=digests,
        save=lambda trainer: save_state(trainer, run.checkpoints, lock),
        held_out=_held_out(parts),
    )


def _compiled(
    recipe: Recipe, plan: Plan, model: AnyToAny, numerics: Numerics, builder: Builder
) -> Numerics:
    """The numerics with what was settled about compiling; where it is on, the model is compiled."""
    backbone = model.backbone
    assert isinstance(backbone, nn.Module)
    spec = builder.registry.spec("backbone", plan.backbone.kind)
    assert isinstance(spec, BackboneSpec)
    declared = spec.capabilities.compiles
    device, tokens, note = numerics.device, plan.batch_tokens, builder.note
    on = choose_compile(recipe, backbone, device, tokens, note, declared)
    if on:
        tokens = 2 * plan.max_row_tokens()
        lines = max(2, plan.batch_tokens // tokens)
        compile_blocks(model.backbone, numerics, (lines + (lines == tokens), tokens))
    return replace(numerics, compiled=on)


def _start_from(
    where: Path, model: AnyToAny, plan: Plan, builder: Builder, digests: Mapping[str, str]
) -> None:
    def warn(text: str) -> None:
        builder.note("init_from", "an older checkpoint", text)

    loaded = load_weights(where, warn)
    saved, components = loaded.state.get("components"), loaded_components(plan)
    strangers = require_same_meaning(saved, components, str(loaded.source))
    for sentence in other_distributions(saved, components):
        builder.note("init_from", str(loaded.source), sentence)
    old = _old_vocabulary(loaded)
    had = loaded.state.get("tokenizers", {})
    # Where a tokenizer was fitted anew its ids mean something else, and the rows start fresh.
    other = {name for name, digest in digests.items() if had.get(name) != digest}
    other |= {key.removeprefix("modalities.") for key in strangers}
    kept = initialise(model, loaded.tensors, old, str(where), other)
    builder.note("init_from", str(loaded.source), f"id rows kept for {', '.join(kept) or 'none'}")


def _old_vocabulary(loaded: LoadedWeights) -> Vocabulary:
    try:
        return vocabulary_of(loaded.state.get("vocabulary"))
    except (ValueError, RecipeError) as error:
        raise CheckpointError(
            f"what is saved with the weights is damaged: {error}",
            where=str(loaded.source),
            fix="use another checkpoint, or copy this one again",
        ) from error


def _moving_average(tasks: Sequence[Task], model: AnyToAny) -> MovingAverage | None:
    found = (getattr(task.objective, "average_decay", None) for task in tasks)
    decays = [decay for decay in found if decay is not None]
    return MovingAverage(model, max(decays)) if decays else None


def _stepper(
    recipe: Recipe,
    plan: Plan,
    model: AnyToAny,
    optimizer: torch.optim.Optimizer,
    tasks: Sequence[Task],
    numerics: Numerics,
    world: World,
) -> Stepper:
    return Stepper(
        model,
        optimizer,
        tasks,
        numerics,
        world,
        seed=plan.seed,
        accumulate=recipe.train.accumulate,
        clip_norm=recipe.optimizer.clip_norm,
        capacity=2 * plan.max_row_tokens(),
        buckets=recipe.train.length_buckets,
    )


def _callbacks(nodes: Sequence[Node], builder: Builder) -> list[Callback]:
    return [builder.build_spec("callback", node.kind, node.settings) for node in nodes]


def _held_out(parts: Parts) -> list[TokenizedSample]:
    if not parts.plan.split("validation"):
        return []
    read = read_values(parts.plan, parts.modalities, "validation", sources=parts.sources)
    return [sample.tokens for sample in read]
