"""Execute a recipe: make or open the run directory, fit tokenizers, train, resume."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import UserError
from loretta_framework.checkpoint.compare import Change, require_resumable
from loretta_framework.checkpoint.handshake import (
    plugins_of,
    require_named,
    require_present,
    trained_components,
)
from loretta_framework.checkpoint.lock import RunLock
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.data.rates import measure_rates
from loretta_framework.recipe.load import LoadedRecipe, load_recipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.recipe.override import TINY as TINY
from loretta_framework.recipe.plan import Plan, Reason
from loretta_framework.recipe.renew import renewed
from loretta_framework.recipe.show import recipe_text
from loretta_framework.recipe.yaml_reader import read_yaml
from loretta_framework.registry import Registry
from loretta_framework.train.agreement import require_agreement
from loretta_framework.train.assemble import assemble
from loretta_framework.train.distributed import World
from loretta_framework.train.loop import Trainer
from loretta_framework.train.machine import (
    MACHINE,
    describe_machine,
    effective_numerics,
    no_longer_bitwise,
)
from loretta_framework.train.metrics import MetricsWriter
from loretta_framework.train.numerics import keep_choices
from loretta_framework.train.parts import Parts
from loretta_framework.train.state import restore_state

Say = Callable[[str], None]


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
    path = Path(run_dir) if run_dir is not None else Path("runs") / loaded.recipe.name
    if resume:
        _require_plugins(RunDirectory.open(path))
    parts = Parts.build(loaded)
    require_agreement(World.current(), parts.plan)
    with ExitStack() as stack:
        if resume:
            run = RunDirectory.open(path)
            lock = stack.enter_context(run.acquire())
            chosen = {reason.key: reason.choice for reason in run.read_plan().reasons}
            changes = _require_same(run, parts, say)
            trainer = _prepare(parts, run, lock, chosen, say)
            found = restore_state(trainer, run.checkpoints, say)
            _warn_of_bits(trainer, found, changes, chosen, say)
            # Only now: had it failed, the next start would compare with a start that never was.
            run.update(_recipe_text(loaded, path), trainer.plan)
            say(f"resuming after step {trainer.step}" if found else "no checkpoint yet: step 0")
        else:
            run = RunDirectory.create(path, _recipe_text(loaded, path), parts.plan)
            lock = stack.enter_context(run.acquire())
            try:
                trainer = _prepare(parts, run, lock, {}, say)
                run.update(run.read_recipe(), trainer.plan)
            except BaseException:
                run.discard()  # a mistake found this late must not block the corrected command
                raise
        try:
            return _execute(trainer, run, say)
        except UserError:
            # An absent kernel, for example, is found in the first step: likewise.
            if not resume and trainer.step == 0:
                run.discard()
            raise


@contextmanager
def opened(loaded: LoadedRecipe, path: Path, say: Say) -> Iterator[Trainer]:
    """A trainer before its first step in a new run directory, which is locked inside.

    Raises:
        LorettaError: what `train` raises before its first step.
    """
    parts = Parts.build(loaded)
    run = RunDirectory.create(path, _recipe_text(loaded, path), parts.plan)
    with run.acquire() as lock, MetricsWriter(run.metrics_file) as metrics:
        trainer = _prepare(parts, run, lock, {}, say)
        trainer.metrics = metrics
        yield trainer


def fit(loaded: LoadedRecipe, directory: Path) -> dict[str, dict[str, float]]:
    """Fit the recipe's tokenizers that learn, into `directory`; figures by modality."""
    return Parts.build(loaded).fit(directory)


def _recipe_text(loaded: LoadedRecipe, directory: Path) -> str:
    """The resolved recipe as a file in `directory`, where it loads to the same recipe."""
    return recipe_text(loaded.resolved_for(directory))


def _require_plugins(run: RunDirectory) -> None:
    """The plugins of a run that goes on are there; told before the recipe is, with versions."""
    plan = run.read_plan()
    recipe = load_recipe(run.recipe_file).resolved
    require_named(plan, recipe, str(run.path))
    named = needed_plugins(recipe)
    components = trained_components(plan)
    registry = Registry.discover(plugins_of(components) & named, named)
    require_present(components, registry, str(run.path))


def _require_same(run: RunDirectory, parts: Parts, say: Say) -> list[Change]:
    old_recipe = read_yaml(run.recipe_file).data
    new_recipe = parts.loaded.resolved_for(run.path)
    old = renewed(run.read_plan(), parts.builder.registry)
    changes = require_resumable(old, parts.plan, old_recipe, new_recipe, where=str(run.path))
    for change in changes:
        say(f"note: {change}")
    return changes


def _warn_of_bits(
    trainer: Trainer,
    found: Mapping[str, Any] | None,
    changes: Iterable[Change],
    chosen: Mapping[str, str],
    say: Say,
) -> None:
    """Tell what is rounded in another way than before the break."""
    # Checkpoints of earlier versions hold none; the plan's automatic choices are what is left.
    before = (found or {}).get("numerics", chosen)
    now = effective_numerics(trainer.plan, trainer.stepper.numerics)
    if warning := no_longer_bitwise(changes, before, now):
        say(f"warning: {warning}")


def _prepare(
    parts: Parts, run: RunDirectory, lock: RunLock, chosen: Mapping[str, str], say: Say
) -> Trainer:
    """Tokenizers and trainer, ready for the first step; automatic choices told."""
    parts.loaded = replace(
        parts.loaded, recipe=keep_choices(parts.loaded.recipe, chosen, parts.builder.note)
    )
    for name, figures in parts.prepare_tokenizers(run.tokenizers).items():
        told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
        say(f"fitted the tokenizer of {name}: {told}")
    parts.builder.note(MACHINE, describe_machine(), "its instructions decide how sums are rounded")
    trainer = assemble(parts, run, lock)
    reasons = tuple(Reason(*reason) for reason in parts.builder.reasons)
    for reason in reasons:
        say(f"{reason.key} = {reason.choice} ({reason.why})")
    trainer.plan = replace(parts.plan, reasons=parts.plan.reasons + reasons)
    return trainer


def _execute(trainer: Trainer, run: RunDirectory, say: Say) -> FinishedRun:
    plan = trainer.plan
    if trainer.step >= plan.steps:
        say(f"the run is finished: {trainer.step} of {plan.steps} steps")
        return FinishedRun(run.path, plan, trainer.step, {})
    with MetricsWriter(run.metrics_file) as metrics:
        metrics.truncate_after(trainer.step)
        trainer.metrics = metrics
        trainer.run()
    for line in measure_rates(plan, trainer.step, trainer.edge_tokens).lines():
        say(line)
    return FinishedRun(run.path, plan, trainer.step, trainer.last)
