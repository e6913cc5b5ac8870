"""Execute a recipe: make or open the run directory, fit tokenizers, train, resume."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from loretta_framework.api.protocols import Tokenizer
from loretta_framework.checkpoint.compare import require_resumable
from loretta_framework.checkpoint.lock import RunLock
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.data.fitting import fit_tokenizers, load_tokenizers
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.recipe.plan import Plan, Reason
from loretta_framework.registry import Builder, Registry
from loretta_framework.train.assemble import assemble, build_modalities
from loretta_framework.train.metrics import MetricsWriter
from loretta_framework.train.state import restore_state

Say = Callable[[str], None]

TINY = ("train.steps=10", "checkpoint.every_steps=10")
"""Overrides that make any recipe a check of minutes: `loretta train --tiny`."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What `train` returns.

    Attributes:
        directory: the run directory.
        plan: what was executed.
        steps: finished steps.
        metrics: of the last step; empty when the run was finished before.
    """

    directory: Path
    plan: Plan
    steps: int
    metrics: Mapping[str, float]


def train(
    loaded: LoadedRecipe,
    run_dir: str | Path | None = None,
    *,
    resume: bool = False,
    say: Say = lambda text: print(text, file=sys.stderr),
) -> FinishedRun:
    """Train the model a recipe describes.

    Args:
        loaded: from `recipe.load.load_recipe`.
        run_dir: where the run lives; default `runs/<recipe name>`.
        resume: go on with the run that is there; a finished one is left as it is.
        say: told what was chosen and why.

    Raises:
        RecipeError, GraphError, PluginError, ShardError: the recipe cannot be run as it is.
        RunDirectoryError: the directory is in use, holds another run, or cannot be resumed.
        TrainingError: loss or gradient is not finite.
        StoppedOnRequest: a signal stopped the run; its state is saved.
    """
    registry = Registry.discover(needed_plugins(loaded.resolved))
    plan = make_plan(loaded, registry)
    path = Path(run_dir) if run_dir is not None else Path("runs") / plan.name
    with ExitStack() as stack:
        if resume:
            run = RunDirectory.open(path)
            lock = stack.enter_context(run.acquire())
            _require_same(run, loaded, plan, say)
        else:
            run = RunDirectory.create(path, _recipe_text(loaded, path), plan)
            lock = stack.enter_context(run.acquire())
        return _execute(loaded, plan, registry, run, lock, resume, say, stack)


def fit(
    loaded: LoadedRecipe, directory: Path, registry: Registry | None = None
) -> dict[str, dict[str, float]]:
    """Fit the recipe's tokenizers that learn, into `directory`; figures by modality."""
    registry = registry or Registry.discover(needed_plugins(loaded.resolved))
    plan = make_plan(loaded, registry)
    return fit_tokenizers(plan, build_modalities(plan, Builder(registry)), directory, plan.seed)


def _recipe_text(loaded: LoadedRecipe, directory: Path) -> str:
    """The resolved recipe as a file in `directory`, where it loads to the same recipe."""
    return yaml.safe_dump(loaded.resolved_for(directory), sort_keys=False, allow_unicode=True)


def _require_same(run: RunDirectory, loaded: LoadedRecipe, plan: Plan, say: Say) -> None:
    text = _recipe_text(loaded, run.path)
    old_recipe, new_recipe = yaml.safe_load(run.read_recipe()), yaml.safe_load(text)
    for change in require_resumable(
        run.read_plan(), plan, old_recipe, new_recipe, where=str(run.path)
    ):
        say(f"note: {change}")
    run.update(text, plan)


def _execute(
    loaded: LoadedRecipe,
    plan: Plan,
    registry: Registry,
    run: RunDirectory,
    lock: RunLock,
    resume: bool,
    say: Say,
    stack: ExitStack,
) -> FinishedRun:
    builder = Builder(registry)
    modalities = build_modalities(plan, builder)
    _prepare_tokenizers(plan, modalities, run, say)
    trainer = assemble(loaded, plan, registry, builder, modalities, run, lock)
    plan = _keep_reasons(run, loaded, plan, builder, say)
    if resume:
        found = restore_state(trainer, run.checkpoints, say)
        say(f"resuming after step {trainer.step}" if found else "no checkpoint yet: step 0")
        if trainer.step >= plan.steps:
            say(f"the run is finished: {trainer.step} of {plan.steps} steps")
            return FinishedRun(run.path, plan, trainer.step, {})
    metrics = stack.enter_context(MetricsWriter(run.metrics_file))
    metrics.truncate_after(trainer.step)
    trainer.metrics = metrics
    trainer.run()
    return FinishedRun(run.path, plan, trainer.step, trainer.last)


def _prepare_tokenizers(
    plan: Plan, modalities: Mapping[str, Tokenizer], run: RunDirectory, say: Say
) -> None:
    """Fit once; a run that has fitted tokenizers keeps them, verified by their hashes."""
    if not any(modality.fitted for modality in plan.modalities):
        return
    marker = run.tokenizers / "complete"
    if marker.is_file():
        load_tokenizers(plan, modalities, run.tokenizers)
        return
    for name, figures in fit_tokenizers(plan, modalities, run.tokenizers, plan.seed).items():
        told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
        say(f"fitted the tokenizer of {name}: {told}")
    marker.touch()


def _keep_reasons(
    run: RunDirectory, loaded: LoadedRecipe, plan: Plan, builder: Builder, say: Say
) -> Plan:
    """Print the automatic choices once, and store them with the plan."""
    chosen = tuple(Reason(*reason) for reason in builder.reasons)
    for reason in chosen:
        say(f"{reason.key} = {reason.choice} ({reason.why})")
    plan = replace(plan, reasons=plan.reasons + chosen)
    run.update(_recipe_text(loaded, run.path), plan)
    return plan
