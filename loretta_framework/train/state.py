"""A run's whole state: written to a checkpoint, and put back so that a restart is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from loretta_framework.api.atomic import write_json_atomically
from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.checkpoint.handshake import (
    require_own_components,
    saved_components,
    trained_components,
)
from loretta_framework.checkpoint.lock import RunLock
from loretta_framework.checkpoint.store import (
    find_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from loretta_framework.data.fitting import require_tokenizers
from loretta_framework.data.rates import measure_rates
from loretta_framework.data.schedule import start_position
from loretta_framework.train.callback_state import callback_states, restore_callbacks
from loretta_framework.train.loop import Trainer
from loretta_framework.train.machine import effective_numerics
from loretta_framework.train.optim import optimizer_tensors, restore_optimizer
from loretta_framework.train.tasks import restore_tasks, task_tensors

RATES = "rates.json"
"""In the run directory: what the run was given so far; see `data.rates`."""


def save_state(trainer: Trainer, root: Path, lock: RunLock) -> None:
    """Write a checkpoint of all that the next step depends on, then drop the oldest.

    Every draw is keyed by counters, so the step and each task's data position stand for all random
    state; pools are saved because they were made with weights that are gone.

    Raises:
        RunDirectoryError: the run's lock was lost, another process may be writing; or the rates
            cannot be written.
        CheckpointError: it cannot be written; older ones are untouched.
    """
    lock.require_held()
    if trainer.metrics is not None:
        trainer.metrics.sync()  # metrics may be ahead of a checkpoint, never behind
    tensors: dict[str, dict[str, Tensor]] = {
        "model": dict(trainer.model.state_dict()),
        "optimizer": optimizer_tensors(trainer.model, trainer.optimizer),
        "tasks": task_tensors(trainer.tasks),
    }
    if trainer.average is not None:
        tensors["average"] = trainer.average.tensors()
    state: dict[str, Any] = {
        "step": trainer.step,
        "positions": {t.name: start_position(t, trainer.step) for t in trainer.plan.tasks},
        "pools": {task.plan.name: task.pool.names() for task in trainer.tasks},
        "quality": trainer.quality.state(),
        "edge_tokens": trainer.edge_tokens.state(),
        "callbacks": callback_states(_callback_kinds(trainer), trainer.callbacks),
        "generated": {
            "segments": dict(trainer.rollouts.counters.segments),
            "tokens": dict(trainer.rollouts.counters.tokens),
        },
        "vocabulary": trainer.plan.vocabulary.to_json(),
        "tokenizers": dict(trainer.tokenizers),
        "plan_hash": trainer.plan.hash,
        "recipe_hash": trainer.plan.recipe_hash,
        "data_hash": trainer.plan.data_hash,
        "versions": trainer.plan.versions,
        "plugins": [asdict(plugin) for plugin in trainer.plan.plugins],
        "components": saved_components(trainer.plan),
        "numerics": effective_numerics(trainer.plan, trainer.stepper.numerics),
    }
    save_checkpoint(root, trainer.step, tensors, state)
    prune_checkpoints(root, trainer.recipe.checkpoint.keep_last)
    _write_rates(trainer, root.parent / RATES)


def restore_state(
    trainer: Trainer, root: Path, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """Go back to the newest complete checkpoint.

    Returns:
        Its plain data; None when the run had none yet.

    Raises:
        CheckpointError: there are checkpoints, but none is complete and undamaged; or the run's
            tokenizers or components are not those it was trained with.
    """
    newest = find_checkpoint(root, warn)
    if newest is None:
        return None
    loaded = load_checkpoint(newest)
    state = loaded.state
    # What a run is watched with may change; see `checkpoint.severity`.
    steering = {
        key: component
        for key, component in trained_components(trainer.plan).items()
        if not key.startswith("data.validation.")
    }
    require_own_components(state.get("components"), steering, str(newest))
    require_tokenizers(state["tokenizers"], trainer.tokenizers, root.parent / "tokenizers")
    trainer.model.load_state_dict(loaded.tensors["model"])
    restore_optimizer(trainer.model, trainer.optimizer, loaded.tensors["optimizer"])
    restore_tasks(trainer.tasks, loaded.tensors["tasks"], state["pools"], loaded.step)
    if trainer.average is not None:
        trainer.average.restore(loaded.tensors["average"])
    trainer.quality.restore(state["quality"])
    trainer.rollouts.counters.segments.update(state["generated"]["segments"])
    trainer.rollouts.counters.tokens.update(state["generated"]["tokens"])
    trainer.step = trainer.view.step = loaded.step
    _restore_edge_tokens(trainer, state, warn)
    saved = state.get("callbacks", [])  # checkpoints of earlier versions hold none
    restore_callbacks(_callback_kinds(trainer), trainer.callbacks, saved, warn)
    return state


def _callback_kinds(trainer: Trainer) -> list[str]:
    return [node.kind for node in trainer.recipe.callbacks]


def _restore_edge_tokens(
    trainer: Trainer, state: dict[str, Any], warn: Callable[[str], None]
) -> None:
    if "edge_tokens" in state:
        trainer.edge_tokens.restore(state["edge_tokens"])
        return
    trainer.edge_tokens.since = trainer.step
    warn(
        f"the checkpoint is of a version that did not count tokens by edge: {RATES} counts them "
        f"from step {trainer.step}"
    )


def _write_rates(trainer: Trainer, path: Path) -> None:
    rates = measure_rates(trainer.plan, trainer.step, trainer.edge_tokens)
    try:
        write_json_atomically(path, rates.to_json())
    except OSError as error:
        raise RunDirectoryError(
            f"the achieved rates cannot be written: {error.strerror}",
            where=str(path),
            fix="make the run directory writable and free space, then go on with --resume",
        ) from error
